// Package journal stores what the updater needs after a power cut: one [Record]
// and the newest [Checkpoint] values, in a bbolt file of at most 64 KiB in the
// state directory.
//
// Each write is one transaction. When it returns nil it is durable, and a crash
// at any moment leaves the state before it or the state after it, never a
// mixture. [Open] creates the file crash-safely and checks every byte that
// matters before bbolt reads it. A file that fails the checks is moved aside
// and a new one is made: without a journal the package is fetched again, with a
// bad one the board would never update again. A file that holds is never given
// up: if bbolt cannot use it, a new one gets its content.
//
// Data is synced first and then claimed by a checkpoint; the example shows the
// order.
//
// # Versions
//
// Records and checkpoints carry a version and a checksum. An older build uses
// the journal of a newer one, because the keys and fields of version 1 are
// frozen: [RecordVersion] lists the rules. What is unknown is ignored, and the
// next update writes the build's own version. [Recovery] then has the result
// [Newer]. Only damage, or a frozen field that cannot be decoded, moves the
// file aside.
//
// # Files
//
// journal.db may hold a URL with a signature, and is readable for its owner only.
// So is journal.db.corrupt, the file that was moved aside; it is deleted when a
// package is Ready. [Journal.Scrub] takes earlier URLs out of journal.db.
// journal.db.new is a file that is being made, and journal.opening counts the
// starts that ended inside bbolt. All are looked up in the descriptor of the
// directory, and no link is followed.
//
// # Goroutines
//
// All methods may be called from any goroutine. Writers wait for each other;
// readers never wait for a writer.
package journal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// FileName is the journal's name in the state directory.
const FileName = "journal.db"

// Options of [Open]. The zero value is usable.
type Options struct {
	// LockTimeout is how long Open waits until another process closes the
	// journal; 0 means one second.
	LockTimeout time.Duration
	// OnCommit, if not nil, is called with the duration of each transaction
	// that became durable. It runs in the goroutine that wrote and must not
	// use the journal.
	OnCommit func(commit time.Duration)
	// BeforeQuarantine, if not nil, is called before a journal that cannot be
	// read is set aside. It deletes the data that only this journal describes.
	// After a crash in between, the next Open finds the same journal and calls
	// it again. Its error is Open's.
	BeforeQuarantine func() error
	// OpenFile opens a file of the directory; nil means openat(2).
	OpenFile func(dir *os.File, name string, flag int, perm os.FileMode) (*os.File, error)
}

// Journal is an open journal.
type Journal struct {
	onCommit func(time.Duration)
	recovery Recovery
	dir      directory
	file     *os.File

	published atomic.Pointer[contents] // the durable contents

	mu       sync.Mutex // one writer at a time; guards the fields below
	db       *bolt.DB
	seq      uint64 // of the newest checkpoint
	end      error  // if not nil, every further write returns it
	scrubDue bool   // the files hold what the record no longer has
}

// Record returns the durable record. It reads memory only and does not wait for
// a write. The caller may change what it gets.
func (j *Journal) Record() Record { return j.published.Load().record.clone() }

// Checkpoints returns the durable checkpoints of the record's generation, the
// newest first, at most [MaxCheckpoints]. It reads memory only and does not
// wait for a write. The caller may change what it gets.
func (j *Journal) Checkpoints() []Checkpoint {
	list := slices.Clone(j.published.Load().checkpoints)
	for i := range list {
		list[i] = list[i].clone()
	}
	return list
}

// Recovery returns how Open found the journal.
func (j *Journal) Recovery() Recovery { return j.recovery }

// Update calls fn with a copy of the record, makes the result durable and
// returns it, cut to the bounds (see [MaxOutbox] and [MaxText]). When fn
// changes Generation, all checkpoints are deleted in the same transaction. fn
// must not write to the journal.
//
// The error matches [ErrTooLarge] or [ErrUnusable], or is one of the file
// system. After an error every reader still sees the record as before; after a
// power cut the new one may appear, as with any write that failed late.
func (j *Journal) Update(fn func(*Record)) (Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.update(fn, nil)
}

// Replace is Update, and makes cp the only checkpoint in the same transaction. cp
// belongs to the Generation that fn leaves. The error matches [ErrCheckpoint] too.
func (j *Journal) Replace(cp Checkpoint, fn func(*Record)) (Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.update(fn, &cp)
}

func (j *Journal) update(fn func(*Record), only *Checkpoint) (Record, error) {
	old := j.published.Load()
	changed := old.record.clone()
	fn(&changed)
	rec, raw, err := fit(changed)
	if err != nil {
		return old.record.clone(), fmt.Errorf("update record: %w", err)
	}
	next := &contents{record: rec, raw: raw, checkpoints: old.checkpoints}
	if rec.Generation != old.record.Generation {
		next.checkpoints = nil
	}
	if only != nil {
		if err := only.validate(); err != nil {
			return old.record.clone(), err
		}
		cp := only.clone()
		cp.Seq, cp.Generation, cp.Stats = j.seq+1, rec.Generation, nil
		next.checkpoints = []Checkpoint{cp}
	}
	if err := j.write(next); err != nil {
		return old.record.clone(), fmt.Errorf("update record: %w", err)
	}
	if only != nil {
		j.seq++
	}
	j.scrubDue = j.scrubDue || old.record.Job.URL != "" && rec.Job.URL != old.record.Job.URL
	return rec.clone(), nil
}

// Commit makes cp the newest checkpoint, in place of the oldest, with the next
// Seq and the record's Generation. The caller has synced the data before. The
// error matches [ErrBackwards] when the offset is below the newest
// checkpoint's, [ErrCheckpoint] or [ErrUnusable], or is one of the file system.
func (j *Journal) Commit(cp Checkpoint) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := j.published.Load().checkpoints
	if len(kept) > 0 && cp.Offset < kept[0].Offset {
		return fmt.Errorf("%w: from %d to %d", ErrBackwards, kept[0].Offset, cp.Offset)
	}
	return j.checkpoint(cp, kept)
}

// Rewind makes cp the only checkpoint: the others are deleted in the same
// transaction, and the offset may be lower than theirs. The error matches
// [ErrCheckpoint] or [ErrUnusable], or is one of the file system.
func (j *Journal) Rewind(cp Checkpoint) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.checkpoint(cp, nil)
}

func (j *Journal) checkpoint(cp Checkpoint, older []Checkpoint) error {
	if err := cp.validate(); err != nil {
		return err
	}
	now := j.published.Load()
	cp = cp.clone()
	cp.Seq, cp.Generation = j.seq+1, now.record.Generation
	next := &contents{record: now.record, raw: now.raw}
	if cp.Stats != nil {
		next.record, next.raw = now.withStats(*cp.Stats)
		cp.Stats = nil
	}
	next.checkpoints = []Checkpoint{cp}
	for _, old := range older {
		if old.slot() != cp.slot() { // after a damaged one was left out, the oldest may have cp's slot
			next.checkpoints = append(next.checkpoints, old)
		}
	}
	if err := j.write(next); err != nil {
		return fmt.Errorf("commit checkpoint at %d: %w", cp.Offset, err)
	}
	j.seq = cp.Seq
	return nil
}

// write makes next durable and then visible.
func (j *Journal) write(next *contents) error {
	if j.end != nil {
		return j.end
	}
	start := time.Now()
	err := catchFaults(func() error { return j.db.Update(next.image().writeTo) })
	if f := (*faultError)(nil); errors.As(err, &f) {
		// bbolt stopped in the middle of an operation and may hold its locks
		// for ever. It must not be called again.
		j.end = fmt.Errorf("%w: %w", ErrUnusable, err)
		return j.end
	}
	if err != nil {
		return err
	}
	j.published.Store(next)
	if j.onCommit != nil {
		j.onCommit(time.Since(start))
	}
	return nil
}

// Close waits for a write under way and closes the file. A second Close returns
// nil. Record and Checkpoints may be called afterwards, writes fail.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.end, errClosed) {
		return nil
	}
	broken := j.end != nil
	j.end = errClosed
	if broken {
		// Closing alone does not release the lock: bbolt's mapping, which is
		// not unmapped, still uses the open file.
		return errors.Join(unix.Flock(int(j.file.Fd()), unix.LOCK_UN), j.file.Close())
	}
	if err := catchFaults(j.db.Close); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}
