package fsm

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"otad/hashing"
	"otad/journal"
)

// The stages of a transfer overlap:
//
//	socket ──> digest ──> disk ─────────> journal
//	receiver   hasher     diskWriter      committer
//	           hash N+2   write, sync N+1 commit N, report N
//
// A fixed number of blocks goes round, so that memory is constant and a slow
// disk slows the socket down. Each block carries the checkpoint that may be made
// once the block is stored. So the record is exact however far the digest is
// ahead of the disk, and the disk's stage does not read the bytes again. No two
// stages share a field: what one hands on goes through a channel.
//
// diskWriter.checkpoint keeps the order of the last two stages. With it a power
// cut
//
//	while N is written or synced   loses what the journal does not claim;
//	while commit N is under way    leaves N durable and unclaimed, or claimed,
//	                               and N+1 unclaimed: both are fetched again;
//	after commit N                 loses nothing of N.
//
// So at most two intervals of stored bytes are fetched again, and what was in
// memory: receiver.mayHold bounds that.

const (
	// blockSize is what one read, one digest and one write move at a time: large
	// enough that handing a block on costs little, small enough to stay in a
	// processor's cache from one stage to the next.
	blockSize = 512 << 10
	// blockCount bounds the bytes in flight; on a slow link receiver.mayHold does.
	// The blocks must last for one checkpoint, so that the digest never waits for a
	// disk that keeps up: the network fills them while their last contents are made
	// durable.
	blockCount = 6
	// A stop must finish within 2 s. After the signal, another block is written
	// only if the write and the checkpoint after it are expected to end within
	// storeBudget; a checkpoint is made only if it is expected to end within
	// stopBudget. Expected times are those of the last write, sync and commit.
	// storeBudget is the smaller one: when a checkpoint was too late, so is every
	// further block, and no third interval is stored.
	storeBudget = 900 * time.Millisecond
	stopBudget  = 1400 * time.Millisecond
)

// block is a piece of the package on its way to the disk. It never spans a
// multiple of the checkpoint interval.
type block struct {
	data  []byte
	flush bool               // a checkpoint is due after it, although no interval ends
	after journal.Checkpoint // of all up to the last byte of data; receiver sets all but the digest
}

func (b *block) offset() int64 { return b.after.Offset - int64(len(b.data)) }

// pump moves body to the disk until the package is whole or the answer breaks
// off. Whatever was received is claimed when it returns, and no commit is under
// way, with two exceptions. When the disk or the journal fails, that error is
// returned. When ctx ends and the disk takes too long for a stop, ctx's error is
// returned, joined with what was wrong with the answer. cancel ends a read of the
// body. No goroutine outlives the call.
//
// takeOver, where it is not nil, claims the first blocks of the body, which then
// begins at 0, in place of the held bytes. It is called when the body's first
// interval is in memory, and not at all when the answer ends before: a page of
// somebody else's costs nothing.
func (t *transfer) pump(ctx context.Context, cancel context.CancelFunc, body io.Reader, size int64, takeOver func(first []*block) error) error {
	received, hashed := make(chan *block, blockCount), make(chan *block, blockCount)
	from, digest := t.at.saved.Offset, t.at.digest
	if takeOver != nil {
		from, digest = 0, hashing.New(algorithms(signedJob(t.journal.record())))
	}
	in := &receiver{body: body, count: t.received, rate: t.report.bytesPerSecond, free: t.blocks.free, interval: t.cfg.Checkpoint, flush: &t.flush}
	first := takeOverAt(t.cfg.Checkpoint, size)
	if takeOver != nil {
		in.whole = first // smaller blocks would use all of them up before that
	}
	sum := &hasher{digest: digest}
	stopped := &stopTime{}
	claims, commits := make(chan journal.Checkpoint), make(chan commitEnd, 1)
	disk := &diskWriter{sinceStop: stopped.since, file: t.file, synced: t.report.synced, claims: claims, commits: commits,
		free: t.blocks.free, interval: t.cfg.Checkpoint, size: size,
		next: journal.Checkpoint{Offset: from}, claimed: t.at.saved.Offset, saved: t.at.saved, pace: t.pace, first: first, dropped: t.report.discarded}
	claim := &committer{commit: t.journal.commit, durable: t.report.durable, broken: cancel}
	if takeOver != nil {
		disk.takeOver = func(first []*block) error {
			err := takeOver(first)
			if disk.saved, disk.claimed = t.at.saved, t.at.saved.Offset; err == nil {
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
	stages.Go(func() { claim.run(claims, commits) })
	stages.Go(func() {
		defer close(claims)
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
