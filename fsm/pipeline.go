package fsm

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"otad/hashing"
	"otad/journal"
)

// The stages of a transfer overlap:
//
//	socket ──> digest ──> disk ──> journal
//	receiver   hasher     diskWriter
//
// A fixed number of blocks goes round, so that memory is constant and a slow
// disk slows the socket down. Each block carries the checkpoint that may be made
// once the block is stored. So the record is exact however far the digest is
// ahead of the disk, and the disk's stage does not read the bytes again. No two
// stages share a field: what one hands on goes through a channel.

const (
	// blockSize is what one read, one digest and one write move at a time: large
	// enough that handing a block on costs little, small enough to stay in a
	// processor's cache from one stage to the next.
	blockSize = 512 << 10
	// blockCount bounds the bytes in flight. The blocks must last for one
	// checkpoint, so that the digest never waits for a disk that keeps up: the
	// network fills them while their last contents are made durable.
	blockCount = 8
	// pieceSize is what the digest and the CRC take in turn, so that the CRC
	// finds the bytes in the processor's cache.
	pieceSize = 32 << 10
	// A stop must finish within 2 s. After the signal, another block is written
	// only if the write and the checkpoint after it are expected to end within
	// storeBudget; a checkpoint is made only if it is expected to end within
	// stopBudget. Expected times are those of the last write and checkpoint.
	storeBudget = 900 * time.Millisecond
	stopBudget  = 1400 * time.Millisecond
)

// block is a piece of the package on its way to the disk. It never spans a
// multiple of the checkpoint interval.
type block struct {
	offset int64
	data   []byte
	flush  bool               // a checkpoint is due after it, although no interval ends
	after  journal.Checkpoint // of all up to the last byte of data
}

// pump moves body to the disk until the package is whole or the answer breaks
// off. Whatever was received is checkpointed when it returns, with two
// exceptions. When the disk or the journal fails, that error is returned. When
// ctx ends and the disk takes too long for a stop, ctx's error is returned,
// joined with what was wrong with the answer. cancel ends a read of the body.
// No goroutine outlives the call.
//
// takeOver, where it is not nil, gives up the held bytes for the body, which then
// begins at 0. It is called when the body's first interval is in memory, and not
// at all when the answer ends before: a page of somebody else's costs nothing.
func (t *transfer) pump(ctx context.Context, cancel context.CancelFunc, body io.Reader, size int64, takeOver func() error) error {
	received, hashed := make(chan *block, blockCount), make(chan *block, blockCount)
	from, digest := t.at.saved.Offset, t.at.digest
	if takeOver != nil {
		from, digest = 0, hashing.New(algorithms(t.journal.record().Job))
	}
	in := &receiver{body: body, count: t.received, free: t.blocks.free, interval: t.cfg.Checkpoint, flush: &t.flush}
	first := takeOverAt(t.cfg.Checkpoint, size)
	if takeOver != nil {
		in.whole = first // smaller blocks would use all of them up before that
	}
	sum := &hasher{digest: digest, interval: t.cfg.Checkpoint}
	stopped := &stopTime{}
	disk := &diskWriter{sinceStop: stopped.since, file: t.file, commit: t.journal.commit, synced: t.report.synced, durable: t.report.durable,
		free: t.blocks.free, interval: t.cfg.Checkpoint, size: size,
		next: journal.Checkpoint{Offset: from}, saved: t.at.saved, pace: t.pace, first: first, dropped: t.report.discarded}
	if takeOver != nil {
		disk.takeOver = func() error {
			err := takeOver()
			if disk.saved = t.at.saved; err == nil {
				t.at.digest = digest
			}
			return err
		}
	}
	unwatch := context.AfterFunc(ctx, stopped.note)
	defer unwatch()
	var receiveErr, storeErr error
	var stages sync.WaitGroup
	stages.Go(func() {
		defer close(received)
		receiveErr = in.run(from, size, received)
	})
	stages.Go(func() {
		defer close(hashed)
		sum.run(received, hashed)
	})
	stages.Go(func() {
		if storeErr = disk.run(ctx, hashed); storeErr != nil {
			cancel()
			for b := range hashed { // the stages before it must not wait for blocks
				t.blocks.free <- b
			}
		}
	})
	stages.Wait()
	t.at.saved, t.pace = disk.saved, disk.pace
	if err := t.cutDigest(); err != nil {
		return err
	}
	switch {
	case storeErr == nil:
		return receiveErr
	case errors.Is(storeErr, ctx.Err()): // a stop does not make the answer any better
		return errors.Join(receiveErr, storeErr)
	default:
		return storeErr
	}
}

// diskWriter is the stage of the disk: the one that stores bytes and has the
// journal claim them. It reaches only what its fields name.
type diskWriter struct {
	file interface {
		io.WriterAt
		Sync() error
	}
	commit   func(journal.Checkpoint) error // durable when it returns nil
	synced   func(time.Duration)            // reports the time of a checkpoint's writes and sync
	durable  func(offset int64)             // reports what the journal claims
	takeOver func() error                   // gives up the held bytes; nil: it was called, or there are none
	free     chan<- *block
	interval int64
	size     int64 // of the package

	first   int64              // bytes that a body that takes over must have
	waiting []*block           // of that body, until they are there
	dropped func(n int64)      // reports bytes that were waiting in vain
	next    journal.Checkpoint // claims all that has been written
	saved   journal.Checkpoint // the newest that the journal holds
	spent   time.Duration      // in writes since the last checkpoint
	pace    pace

	sinceStop func() time.Duration // since ctx ended; 0 before
}

// pace is how long the disk took for the last write and for the last checkpoint:
// what the next ones are expected to take.
type pace struct{ write, checkpoint time.Duration }

// run stores every block and leaves nothing unclaimed at the end. After ctx has
// ended it goes on for as long as a stop may take; the rest is dropped, and
// requested again by the next start.
func (w *diskWriter) run(ctx context.Context, in <-chan *block) error {
	defer w.drop()
	for b := range in {
		// A stop gives up no bytes: the next start may need none of this body.
		if ctx.Err() != nil && (w.takeOver != nil || w.sinceStop()+w.pace.write+w.pace.checkpoint > storeBudget) {
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
	if w.takeOver == nil && !w.tooLate(ctx) {
		if err := w.checkpoint(); err != nil {
			return err
		}
	}
	return ctx.Err() // and not nil, as if all that was received had been stored
}

// store writes b, and makes a checkpoint where one is due.
func (w *diskWriter) store(ctx context.Context, b *block) error {
	begun := time.Now()
	_, err := w.file.WriteAt(b.data, b.offset)
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
	return ctx.Err() != nil && w.sinceStop()+w.pace.checkpoint > stopBudget
}

// checkpoint is the one place where the journal claims bytes. The order is the
// durability rule of otad: write, sync, commit, report. A power cut
//
//	before the sync   loses what the journal does not claim;
//	before the commit leaves durable bytes unclaimed, fetched again;
//	after it          loses nothing.
//
// A commit before the sync would claim bytes that a cut takes away.
func (w *diskWriter) checkpoint() error {
	if w.next.Offset == w.saved.Offset {
		return nil
	}
	begun := time.Now()
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.synced(w.spent + time.Since(begun))
	if err := w.commit(w.next); err != nil {
		return err
	}
	w.pace.checkpoint = time.Since(begun)
	w.spent = 0
	w.saved = w.next
	w.saved.Digest = slices.Clone(w.next.Digest)
	w.durable(w.next.Offset)
	return nil
}

// stopTime is when a stop began.
type stopTime struct{ at atomic.Pointer[time.Time] }

func (s *stopTime) note() {
	now := time.Now()
	s.at.Store(&now)
}

// since returns how long ago the stop began, 0 before it was noted.
func (s *stopTime) since() time.Duration {
	if at := s.at.Load(); at != nil {
		return time.Since(*at)
	}
	return 0
}
