package fsm

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"otad/journal"
	"otad/netio"
)

// The stages of a transfer overlap:
//
//	socket ──> digest ──> disk ──> journal
//	receive    hash       store.put, store.checkpoint
//
// A fixed set of blocks goes round, so that memory is constant and a slow disk
// holds back the socket. Each block carries the checkpoint that may be made once
// it is stored, so that the record is exact however far the digest has run ahead
// of the disk. The disk's side does not touch the bytes again.

const (
	// blockSize is what one read, one digest and one write move at a time: large
	// enough that handing it on costs little, small enough to be in a processor's
	// cache from one stage to the next.
	blockSize = 512 << 10
	// blockCount bounds what is under way. It has to outlast one checkpoint, so
	// that the digest never waits for the disk on a medium that keeps up: the
	// network fills the blocks while what was in them before is made durable.
	blockCount = 8
	// pieceSize is what the digest and the CRC take in turn, so that the second
	// finds it in the processor's cache.
	pieceSize = 32 << 10
	// storeBudget and stopBudget are what a stop, which is to be over in 2 s, may
	// take of that: it begins to store another block when that and a checkpoint
	// are over in storeBudget, and a checkpoint when that is over in stopBudget,
	// going by what the last ones took.
	storeBudget = time.Second
	stopBudget  = 1500 * time.Millisecond
)

// block is a piece of the package on its way to the disk. It never spans a
// multiple of the checkpoint interval.
type block struct {
	offset int64
	data   []byte
	after  journal.Checkpoint // of all up to the last byte of data
}

// pump moves body to the disk until the package is whole or an answer breaks
// off. Whatever was received is checkpointed when it returns, unless the disk
// or the journal failed: then that error is returned; or unless ctx ended and
// the disk takes too long for a stop: then ctx's error is returned, together
// with what was wrong with the answer. cancel breaks the body's read off. No
// goroutine of it outlives the call.
func (t *transfer) pump(ctx context.Context, cancel context.CancelFunc, body *netio.Body, size int64) error {
	received, hashed := make(chan *block, blockCount), make(chan *block, blockCount)
	store := &store{transfer: t, size: size, next: journal.Checkpoint{Offset: t.at.Offset}}
	unwatch := context.AfterFunc(ctx, store.noteStop)
	defer unwatch()
	var receiveErr, storeErr error
	var stages sync.WaitGroup
	stages.Go(func() {
		defer close(received)
		receiveErr = t.receive(body, size, received)
	})
	stages.Go(func() {
		defer close(hashed)
		t.hash(received, hashed)
	})
	stages.Go(func() {
		if storeErr = store.drain(ctx, hashed); storeErr != nil {
			cancel()
			for b := range hashed { // the stages before it must not wait for blocks
				t.free <- b
			}
		}
	})
	stages.Wait()
	switch {
	case storeErr == nil:
		return receiveErr
	case errors.Is(storeErr, ctx.Err()): // a stop does not make the answer any better
		return errors.Join(receiveErr, storeErr)
	default:
		return storeErr
	}
}

// receive fills blocks from the socket up to the end of the package, and then
// makes sure that the answer ends there too.
func (t *transfer) receive(body io.Reader, size int64, out chan<- *block) error {
	for off := t.at.Offset; off < size; {
		b := <-t.free
		n, err := t.fill(body, b.data[:min(blockSize, size-off, t.cfg.Checkpoint-off%t.cfg.Checkpoint)])
		b.offset, b.data = off, b.data[:n]
		off += int64(n)
		if n > 0 {
			out <- b
		} else {
			t.free <- b
		}
		if err != nil {
			return err
		}
	}
	var surplus [1]byte
	if _, err := body.Read(surplus[:]); err != io.EOF {
		return err
	}
	return nil
}

// fill reads until p is full. Other than io.ReadFull it counts what comes, as it
// comes: on a slow link a block takes longer than a look at the rate.
func (t *transfer) fill(body io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = body.Read(p[n:])
		n += k
		t.progress.received(int64(k))
		t.Metrics.Received(int64(k))
	}
	if n == len(p) {
		return n, nil
	}
	return n, err
}

// hash carries the digest along the stream, and the CRC of what will be the tail
// of the next checkpoint. It has a thread of its own: all others wait for it, and
// it shall wait for no goroutine's turn.
func (t *transfer) hash(in <-chan *block, out chan<- *block) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tail, crc := int64(0), uint32(0)
	for b := range in {
		if b.offset%t.cfg.Checkpoint == 0 {
			tail, crc = 0, 0 // store makes a checkpoint before it
		}
		for piece := range slices.Chunk(b.data, pieceSize) {
			t.at.digest.Write(piece)
			crc = crc32.Update(crc, castagnoli, piece)
		}
		tail += int64(len(b.data))
		b.after = journal.Checkpoint{Offset: b.offset + int64(len(b.data)), Tail: tail, TailCRC: crc,
			Digest: t.at.digest.AppendState(b.after.Digest[:0])}
		out <- b
	}
}

// store is the disk's side of the pipeline.
type store struct {
	*transfer
	size int64 // of the package
	// What has been written.
	next  journal.Checkpoint // that claims all of it
	spent time.Duration      // in writes since the last checkpoint

	stopped atomic.Pointer[time.Time] // when ctx ended; nil: it has not
}

// drain stores every block and leaves nothing unaccounted for at the end. When
// ctx ends it goes on for as long as a stop may take: what is left then is
// dropped, and asked for again.
func (s *store) drain(ctx context.Context, in <-chan *block) error {
	for b := range in {
		if ctx.Err() != nil && s.sinceStop()+s.pace.write+s.pace.checkpoint > storeBudget {
			s.free <- b
			break
		}
		err := s.put(b)
		s.free <- b // before the sync: the network fills it meanwhile
		if err == nil && s.due() && !s.tooLate(ctx) {
			err = s.checkpoint()
		}
		if err != nil {
			return err
		}
	}
	for b := range in {
		s.free <- b
	}
	if !s.tooLate(ctx) {
		if err := s.checkpoint(); err != nil {
			return err
		}
	}
	return ctx.Err() // and not nil, as if all that was received had been stored
}

// tooLate tells whether otad is being stopped and has no time left for another
// checkpoint.
func (s *store) tooLate(ctx context.Context) bool {
	return ctx.Err() != nil && s.sinceStop()+s.pace.checkpoint > stopBudget
}

func (s *store) noteStop() {
	now := time.Now()
	s.stopped.Store(&now)
}

func (s *store) sinceStop() time.Duration {
	if at := s.stopped.Load(); at != nil {
		return time.Since(*at)
	}
	return 0 // ended a moment ago
}

func (s *store) put(b *block) error {
	begun := time.Now()
	if _, err := s.file.WriteAt(b.data, b.offset); err != nil {
		return err
	}
	s.pace.write = time.Since(begun)
	s.spent += s.pace.write
	digest := append(s.next.Digest[:0], b.after.Digest...) // b will be filled again
	s.next = b.after
	s.next.Digest = digest
	return nil
}

// due tells whether an interval, or the package, is whole.
func (s *store) due() bool { return s.next.Offset%s.cfg.Checkpoint == 0 || s.next.Offset == s.size }

// checkpoint is the one place where the journal learns of bytes. The order is
// the durability rule of otad: write, sync, commit, tell. A power cut
//
//	before the sync   loses what the journal does not claim;
//	before the commit leaves durable bytes unclaimed, fetched again;
//	after it          loses nothing.
//
// The commit before the sync would claim bytes that a cut takes away.
func (s *store) checkpoint() error {
	if s.next.Offset == s.at.Offset {
		return nil
	}
	begun := time.Now()
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.Metrics.DataSync(s.spent + time.Since(begun))
	if err := s.wrote(s.Journal.Commit(s.next)); err != nil {
		return err
	}
	s.pace.checkpoint = time.Since(begun)
	s.spent = 0
	s.at.Checkpoint = s.next
	s.at.Digest = slices.Clone(s.next.Digest)
	s.tell(s.next.Offset)
	return nil
}

// pace is how long the disk took for the last write and for the last checkpoint:
// what the next ones will take.
type pace struct{ write, checkpoint time.Duration }

// tell shows what is durable to those who watch.
func (s *store) tell(offset int64) {
	s.Metrics.SetDurable(offset)
	s.cfg.OnChange(s.progress.change(func(p *Snapshot) { p.Durable = offset }))
}
