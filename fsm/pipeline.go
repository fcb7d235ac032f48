package fsm

import (
	"context"
	"hash/crc32"
	"io"
	"sync"
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
// holds back the socket. Each block carries the digest state after its last
// byte, so that the record of a checkpoint is exact however far the digest has
// run ahead of the disk.

const (
	// blockSize is what one read, one digest and one write move at a time: large
	// enough that handing it on costs little, small enough to be in a processor's
	// cache from one stage to the next.
	blockSize = 512 << 10
	// blockCount bounds what is under way. It has to outlast one checkpoint, so
	// that the digest never waits for the disk on a medium that keeps up: the
	// network fills a megabyte while the one before it is made durable.
	blockCount = 4
	// stopPatience is what a checkpoint may take to be made once more when otad
	// is being stopped, which is to be over in 2 s: one can be under way already.
	stopPatience = 500 * time.Millisecond
)

// block is a piece of the package on its way to the disk. It never spans a
// multiple of the checkpoint interval.
type block struct {
	offset int64
	data   []byte
	digest []byte // state after the last byte of data
}

// pump moves body to the disk until the package is whole or an answer breaks
// off. Whatever was received is checkpointed when it returns, unless the disk
// or the journal failed: then that error is returned, or unless ctx ended and
// the disk is too slow to be waited for. cancel breaks the body's read off. No
// goroutine of it outlives the call.
func (t *transfer) pump(ctx context.Context, cancel context.CancelFunc, body *netio.Body, size int64) error {
	received, hashed := make(chan *block, blockCount), make(chan *block, blockCount)
	store := &store{transfer: t, size: size, end: t.at.Offset}
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
	if storeErr != nil {
		return storeErr
	}
	return receiveErr
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
			t.release(b)
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

// hash carries the digest along the stream.
func (t *transfer) hash(in <-chan *block, out chan<- *block) {
	for b := range in {
		t.at.digest.Write(b.data)
		b.digest = t.at.digest.AppendState(b.digest[:0])
		out <- b
	}
}

// release gives a block back for the next read.
func (t *transfer) release(b *block) {
	b.data = b.data[:cap(b.data)]
	t.free <- b
}

// store is the disk's side of the pipeline.
type store struct {
	*transfer
	size int64 // of the package
	// What has been written since the last checkpoint.
	end    int64 // offset after the last byte
	tail   int64
	crc    uint32
	digest []byte
	lasted time.Duration // how long the last checkpoint took
}

// drain stores every block and leaves nothing unaccounted for at the end. When
// ctx ends it makes one checkpoint of all that is under way, or, on a disk where
// that takes too long, none: the last one stands, and the rest is asked for again.
func (s *store) drain(ctx context.Context, in <-chan *block) error {
	for b := range in {
		err := s.put(b)
		s.release(b) // before the sync: the network fills it meanwhile
		if err == nil && s.due() && ctx.Err() == nil {
			err = s.checkpoint()
		}
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil && s.lasted > stopPatience {
		return err // and not nil: the body may have come to its end
	}
	return s.checkpoint()
}

func (s *store) put(b *block) error {
	if _, err := s.file.WriteAt(b.data, b.offset); err != nil {
		return err
	}
	s.end = b.offset + int64(len(b.data))
	s.tail += int64(len(b.data))
	s.crc = crc32.Update(s.crc, castagnoli, b.data)
	s.digest = append(s.digest[:0], b.digest...)
	return nil
}

// due tells whether an interval, or the package, is whole.
func (s *store) due() bool { return s.end%s.cfg.Checkpoint == 0 || s.end == s.size }

// checkpoint is the one place where the journal learns of bytes. The order is
// the durability rule of otad: write, sync, commit, tell. A power cut
//
//	before the sync   loses what the journal does not claim;
//	before the commit leaves durable bytes unclaimed, fetched again;
//	after it          loses nothing.
//
// The commit before the sync would claim bytes that a cut takes away.
func (s *store) checkpoint() error {
	if s.tail == 0 {
		return nil
	}
	begun := time.Now()
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.Metrics.DataSync(time.Since(begun))
	cp := journal.Checkpoint{Offset: s.end, Tail: s.tail, TailCRC: s.crc, Digest: s.digest}
	if err := s.wrote(s.Journal.Commit(cp)); err != nil {
		return err
	}
	s.lasted = time.Since(begun)
	s.tail, s.crc = 0, 0
	s.at.Checkpoint = cp
	s.at.Digest = append([]byte(nil), cp.Digest...)
	s.tell(cp.Offset)
	return nil
}

// tell shows what is durable to those who watch.
func (s *store) tell(offset int64) {
	s.Metrics.SetDurable(offset)
	s.cfg.Observe(s.progress.change(func(p *Snapshot) { p.Durable = offset }))
}
