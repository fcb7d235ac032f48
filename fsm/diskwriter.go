package fsm

import (
	"context"
	"io"
	"slices"
	"time"

	"otad/journal"
)

// diskWriter is the stage of the disk: it stores bytes and has the committer
// claim them. It reaches only what its fields name.
type diskWriter struct {
	file interface {
		io.WriterAt
		Sync() error
	}
	synced func(time.Duration) // reports the time of a checkpoint's writes and sync
	// takeOver makes the first blocks of a body durable and claims them in place of
	// the held bytes. nil: it was called, or there are none.
	takeOver func(first []*block) error
	free     chan<- *block
	interval int64
	size     int64 // of the package

	claims   chan<- journal.Checkpoint // begins a commit; the committer waits for it
	commits  <-chan commitEnd          // has room for the one that is under way
	underWay bool                      // a commit was begun and not awaited

	first   int64              // bytes that a body that takes over must have
	waiting []*block           // of that body, until they are there
	dropped func(n int64)      // reports bytes that were waiting in vain
	next    journal.Checkpoint // claims all that has been written
	claimed int64              // up to here a commit ended or is under way
	saved   journal.Checkpoint // the newest whose commit has ended
	spent   time.Duration      // in writes since the last checkpoint
	pace    pace

	sinceStop func() time.Duration // since ctx ended; 0 before
}

// pace is how long the disk took for the last write, sync and commit: what the
// next ones are expected to take.
type pace struct{ write, sync, commit time.Duration }

// run stores every block and leaves nothing unclaimed, and no commit under way,
// at the end. After ctx has ended it goes on for as long as a stop may take; the
// rest is dropped, and requested again by the next start.
func (w *diskWriter) run(ctx context.Context, in <-chan *block) error {
	defer w.drop()
	err := w.storeAll(ctx, in)
	if last := w.await(); err == nil {
		err = last
	}
	if err == nil {
		err = ctx.Err() // and not nil, as if all that was received had been stored
	}
	return err
}

func (w *diskWriter) storeAll(ctx context.Context, in <-chan *block) error {
	for b := range in {
		// A stop gives up no bytes: the next start may need none of this body.
		if ctx.Err() != nil && (w.takeOver != nil || w.sinceStop()+w.pace.write+w.checkpointTime() > storeBudget) {
			w.free <- b
			break
		}
		if err := w.take(ctx, b); err != nil {
			return err
		}
	}
	for b := range in {
		w.free <- b
	}
	if w.takeOver != nil || w.tooLate(ctx) {
		return nil
	}
	return w.checkpoint()
}

// store writes b, and makes a checkpoint where one is due.
func (w *diskWriter) store(ctx context.Context, b *block) error {
	begun := time.Now()
	_, err := w.file.WriteAt(b.data, b.offset())
	w.pace.write = time.Since(begun)
	w.spent += w.pace.write
	digest := append(w.next.Digest[:0], b.after.Digest...) // b will be filled again
	w.next = b.after
	w.next.Digest = digest
	due := b.flush || w.next.Offset%w.interval == 0 || w.next.Offset == w.size
	w.free <- b // before the sync: the network fills it meanwhile
	if err != nil || !due || w.tooLate(ctx) {
		return err
	}
	return w.checkpoint()
}

// tooLate reports whether otad is being stopped and has no time left for another
// checkpoint.
func (w *diskWriter) tooLate(ctx context.Context) bool {
	return ctx.Err() != nil && w.sinceStop()+w.checkpointTime() > stopBudget
}

// checkpointTime is how long a checkpoint is expected to take: its sync, beside
// which the commit under way ends, and its own commit.
func (w *diskWriter) checkpointTime() time.Duration {
	if w.underWay {
		return max(w.pace.sync, w.pace.commit) + w.pace.commit
	}
	return w.pace.sync + w.pace.commit
}

// checkpoint is the one place where the journal is made to claim bytes. Its order
// is the durability rule of otad: write N, sync N, commit N, report N. While the
// commit is under way the next interval is written and synced, and not more:
//
//   - commit N begins after the sync of N: otherwise it would claim bytes that a
//     power cut takes away;
//   - commit N+1 begins after commit N has ended, so that one is under way, the
//     claims only grow, and an error ends them;
//   - so the stored bytes that no commit claims never exceed two intervals.
//
// The committer reports N when commit N has ended.
func (w *diskWriter) checkpoint() error {
	if w.next.Offset == w.claimed {
		return nil
	}
	begun := time.Now()
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.pace.sync = time.Since(begun)
	w.synced(w.spent + w.pace.sync)
	w.spent = 0
	if err := w.await(); err != nil {
		return err
	}
	w.begin(w.next)
	return nil
}

// begin begins the commit of cp. None is under way.
func (w *diskWriter) begin(cp journal.Checkpoint) {
	cp.Digest = slices.Clone(cp.Digest) // the next block's goes into the same memory
	w.claims <- cp
	w.claimed, w.underWay = cp.Offset, true
}

// await waits for the end of the commit that is under way, if there is one.
func (w *diskWriter) await() error {
	if !w.underWay {
		return nil
	}
	end := <-w.commits
	w.underWay = false
	if end.err != nil {
		return end.err
	}
	w.pace.commit = end.took
	w.saved = end.checkpoint
	return nil
}
