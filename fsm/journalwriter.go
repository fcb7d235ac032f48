package fsm

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"otad/journal"
)

// journalWriter is the one writer of the journal in this package, and remembers
// how its last write ended. Run's goroutine and the goroutine of the work may
// call it at the same time: the journal writes one transaction after the other.
type journalWriter struct {
	journal Journal
	stats   func() journal.Stats  // of the job, as they are now
	commits atomic.Uint32         // since the stats were stored last
	lastErr atomic.Pointer[error] // of the last write; nil: it succeeded
}

func (w *journalWriter) record() journal.Record            { return w.journal.Record() }
func (w *journalWriter) checkpoints() []journal.Checkpoint { return w.journal.Checkpoints() }

// durable returns how many bytes the newest checkpoint claims.
func (w *journalWriter) durable() int64 { return newestOffset(w.checkpoints()) }

func newestOffset(newestFirst []journal.Checkpoint) int64 {
	if len(newestFirst) == 0 {
		return 0
	}
	return newestFirst[0].Offset
}

// statsEvery is how many checkpoints a killed process may take out of the sums of
// its job. Stored each time, they would wear the flash by another page.
const statsEvery = 16

// update changes the record durably and returns what is stored.
func (w *journalWriter) update(c recordChange) (journal.Record, error) {
	rec, err := w.journal.Update(w.complete(c))
	return rec, w.note(err)
}

// replace is update, and cp becomes the only checkpoint in the same transaction.
// Its bytes are durable already.
func (w *journalWriter) replace(cp journal.Checkpoint, c recordChange) error {
	_, err := w.journal.Replace(cp, w.complete(c))
	return w.note(err)
}

// complete returns c with what is written at each change of the record.
func (w *journalWriter) complete(c recordChange) recordChange {
	return func(r *journal.Record) {
		w.commits.Store(0)
		r.Stats = w.stats()
		generation, staged := r.Generation, r.Staged
		c(r)
		if r.Generation != generation && r.Staged == staged {
			r.Staged = 0 // those bytes are given up
		}
		r.OwnSuffix = true // of every file that this build makes
	}
}

// commit adds a checkpoint durably. Its bytes are durable already. The stats go
// along with the 1st, 2nd, 4th and 8th one, for a board that is up for seconds at
// a time, and then with each one in statsEvery.
func (w *journalWriter) commit(cp journal.Checkpoint) error {
	if n := w.commits.Add(1); n&(n-1) == 0 || n%statsEvery == 0 {
		now := w.stats()
		cp.Stats = &now
	}
	return w.note(w.journal.Commit(cp))
}

// rewind makes cp the newest checkpoint again.
func (w *journalWriter) rewind(cp journal.Checkpoint) error { return w.note(w.journal.Rewind(cp)) }

// dropCheckpoints ends every claim of the journal to bytes of the job.
func (w *journalWriter) dropCheckpoints() error {
	_, err := w.update(dropCheckpoints)
	return err
}

// unreserve gives back the space of bytes that a failed job never received. It is
// called where the file holds what the journal claims.
func (w *journalWriter) unreserve(file Partial) error {
	if w.record().Staged > 0 {
		return nil // the bytes are behind the end of the package
	}
	return file.Truncate(w.durable())
}

// err returns the error of the last write, nil when it succeeded.
func (w *journalWriter) err() error {
	if err := w.lastErr.Load(); err != nil {
		return *err
	}
	return nil
}

// note remembers how a write ended, and returns its error.
func (w *journalWriter) note(err error) error {
	if err != nil {
		err = fmt.Errorf("write the journal: %w", err)
		w.lastErr.Store(&err)
	} else if w.lastErr.Load() != nil {
		w.lastErr.Store(nil)
	}
	return err
}

// tidy deletes what the journal has given up: partial files, and URLs in parts of
// its own file that are not in use any more. What an error or a crash leaves is
// deleted at the next start.
func (w *journalWriter) tidy(dir StateDir, log *slog.Logger) {
	w.removePending(dir, log)
	err := w.journal.Scrub()
	if errors.Is(err, journal.ErrUnusable) {
		err = w.note(err)
	}
	if err != nil {
		log.Warn("the journal's file still holds an earlier URL", "err", err)
	}
}

// removePending deletes the partial files that the journal has given up. What a
// crash in here leaves is deleted at the next start.
func (w *journalWriter) removePending(dir StateDir, log *slog.Logger) {
	pending := w.record().PendingDeletes
	var left []string
	for i, name := range pending {
		if slices.Contains(pending[:i], name) {
			continue
		}
		if err := dir.RemovePartial(name); err != nil {
			log.Warn("a partial file cannot be deleted", "name", name, "err", err)
			left = append(left, name)
		}
	}
	if len(left) == len(pending) {
		return
	}
	if _, err := w.update(func(r *journal.Record) { r.PendingDeletes = left }); err != nil {
		log.Warn("the journal still lists a deleted file", "err", err)
	}
}
