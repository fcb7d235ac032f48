package fsm

import (
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"time"

	"otad/hashing"
	"otad/journal"
)

// blockPool holds the blocks that are not in flight.
type blockPool struct{ free chan *block }

func newBlockPool(memory []byte) *blockPool {
	p := &blockPool{free: make(chan *block, blockCount)}
	for data := range slices.Chunk(memory, blockSize) {
		p.free <- &block{data: data}
	}
	return p
}

// receiver is the stage of the socket.
type receiver struct {
	body     io.Reader
	count    func(n int64) // counts received bytes
	free     chan *block
	interval int64

	flush     *flushClock
	flushFrom int64 // no block before this offset is cut short for a flush
}

// run fills blocks from the socket up to the end of the package, and then makes
// sure that the answer ends there too.
func (r *receiver) run(from, size int64, out chan<- *block) error {
	for off := from; off < size; {
		b := <-r.free
		n, flush, err := r.fill(b.data[:min(blockSize, size-off, r.interval-off%r.interval)], off >= r.flushFrom)
		b.offset, b.data, b.flush = off, b.data[:n], flush
		off += int64(n)
		if off%r.interval == 0 {
			r.flush.restart(time.Now())
		}
		if n > 0 {
			out <- b
		} else {
			r.free <- b
		}
		if err != nil {
			return err
		}
	}
	var surplus [1]byte
	if _, err := r.body.Read(surplus[:]); err != io.EOF {
		return err
	}
	return nil
}

// fill reads until p is full, or, with mayFlush, until a checkpoint is due by the
// clock. Unlike io.ReadFull it counts bytes as they come: on a slow link a block
// takes longer than the rate's window.
func (r *receiver) fill(p []byte, mayFlush bool) (n int, flush bool, err error) {
	for n < len(p) && err == nil && !flush {
		var k int
		k, err = r.body.Read(p[n:])
		n += k
		r.count(int64(k))
		flush = k > 0 && r.flush.due(time.Now()) && mayFlush
	}
	if n == len(p) || flush {
		return n, flush, nil
	}
	return n, false, err
}

// hasher is the stage of the digest.
type hasher struct {
	digest   *hashing.Digest
	interval int64
}

// run carries the digest along the stream, and the CRC of what will be the tail
// of the next checkpoint. It is the slowest stage, so it is locked to its own OS
// thread: it must not wait to be scheduled.
func (h *hasher) run(in <-chan *block, out chan<- *block) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tail, crc := int64(0), uint32(0)
	for b := range in {
		if b.offset%h.interval == 0 {
			tail, crc = 0, 0 // diskWriter makes a checkpoint before it
		}
		for piece := range slices.Chunk(b.data, pieceSize) {
			h.digest.Write(piece)
			crc = crc32.Update(crc, castagnoli, piece)
		}
		tail += int64(len(b.data))
		b.after = journal.Checkpoint{Offset: b.offset + int64(len(b.data)), Tail: tail, TailCRC: crc,
			Digest: h.digest.AppendState(b.after.Digest[:0])}
		out <- b
	}
}
