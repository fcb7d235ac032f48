// Package journal keeps what the updater must still know after a power cut:
// one [Record] and the last [Checkpoint] values, in a bbolt file of at most
// 64 KiB in the state directory.
//
// Each write is one transaction: when it returns nil it is durable, and a
// crash at any moment leaves the state before it or the state after it, never
// a mixture. [Open] makes the file crash-safely, checks every byte that matters
// before bbolt sees it, and moves a file that does not hold aside, because a
// journal is disposable: without one the package is fetched again, with a bad
// one a board would be stuck.
//
//	j, err := journal.Open("/var/lib/otad", journal.Options{})
//	...
//	rec, err := j.Update(func(r *journal.Record) { r.State = "Downloading" })
//	...
//	err = part.Sync()                          // first the data,
//	err = j.Commit(journal.Checkpoint{...})    // then the claim that it is there
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

// Errors of [Open].
var (
	// ErrLocked means that another process has the journal open.
	ErrLocked = errors.New("journal: in use by another process")
	// ErrUnusable means that no journal can be kept in that directory, or
	// that this one was given up after bbolt failed in a way it cannot go on
	// from; opening it again is then the way out.
	ErrUnusable = errors.New("journal: unusable")
)

var errClosed = errors.New("journal: closed")

// Options of [Open]; the zero value will do.
type Options struct {
	// LockTimeout is how long to wait for another process to let go of the
	// journal; 0 means one second.
	LockTimeout time.Duration
	// OnCommit, if not nil, is called with the duration of each transaction
	// that became durable, by the goroutine that wrote it, and must not use
	// the journal.
	OnCommit func(commit time.Duration)
	// BeforeQuarantine, if not nil, is called before a journal that cannot be read is
	// set aside, and destroys what it alone vouched for: a crash in between
	// finds the same journal again, and destroys the rest. Its error is Open's.
	BeforeQuarantine func() error
	// OpenFile opens the journal's file; nil means os.OpenFile.
	OpenFile func(name string, flag int, perm os.FileMode) (*os.File, error)
}

// Journal is an open journal.
type Journal struct {
	observe  func(time.Duration)
	recovery Recovery
	file     *os.File

	published atomic.Pointer[contents] // what is durable

	mu  sync.Mutex // one writer at a time; guards all below
	db  *bolt.DB
	seq uint64 // of the newest checkpoint
	end error  // not nil: every further write fails with it
}

// Record returns the durable record. It answers from memory, also while a
// write is under way, and the caller may do with it what it likes.
func (j *Journal) Record() Record { return j.published.Load().record.clone() }

// Checkpoints returns the durable checkpoints of the record's generation, the
// newest first, at most [MaxCheckpoints]. It answers from memory.
func (j *Journal) Checkpoints() []Checkpoint {
	list := slices.Clone(j.published.Load().checkpoints)
	for i := range list {
		list[i] = list[i].clone()
	}
	return list
}

// Recovery tells how Open found the journal.
func (j *Journal) Recovery() Recovery { return j.recovery }

// Update lets fn change a copy of the record, makes the result durable and
// returns it, cut to what the journal keeps (see [MaxOutbox] and [MaxText]).
// When fn changes Generation, all checkpoints are dropped in the same
// transaction. After an error the record is as before for every reader; a
// power cut may still bring up the new one, as with any write that failed late.
func (j *Journal) Update(fn func(*Record)) (Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
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
	if err := j.write(next); err != nil {
		return old.record.clone(), fmt.Errorf("update record: %w", err)
	}
	return rec.clone(), nil
}

// Commit makes cp the newest checkpoint in place of the oldest, with the next
// Seq and the record's Generation. The caller has made the data durable
// before. The offset must not be below the newest one ([ErrBackwards]).
func (j *Journal) Commit(cp Checkpoint) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := j.published.Load().checkpoints
	if len(kept) > 0 && cp.Offset < kept[0].Offset {
		return fmt.Errorf("%w: from %d to %d", ErrBackwards, kept[0].Offset, cp.Offset)
	}
	return j.checkpoint(cp, kept)
}

// Rewind makes cp the only checkpoint: the others go in the same transaction,
// and the offset may be lower than theirs.
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
	next := &contents{record: now.record, raw: now.raw, checkpoints: []Checkpoint{cp}}
	for _, old := range older {
		if old.slot() != cp.slot() { // with a damaged one among them, the oldest is in the way
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
	err := shielded(func() error { return j.db.Update(next.image().store) })
	if f := (*faultError)(nil); errors.As(err, &f) {
		// bbolt was thrown out of the middle of something and may hold its
		// locks for ever. Nothing of it may be touched again.
		j.end = fmt.Errorf("%w: %w", ErrUnusable, err)
		return j.end
	}
	if err != nil {
		return err
	}
	j.published.Store(next)
	if j.observe != nil {
		j.observe(time.Since(start))
	}
	return nil
}

// Close waits for a write under way and lets go of the file. Record and
// Checkpoints still answer afterwards.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.end, errClosed) {
		return nil
	}
	broken := j.end != nil
	j.end = errClosed
	if broken {
		// Closing alone would not let go of the lock: the mapping that bbolt
		// leaves behind still counts as a user of the file.
		return errors.Join(unix.Flock(int(j.file.Fd()), unix.LOCK_UN), j.file.Close())
	}
	if err := shielded(j.db.Close); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}
