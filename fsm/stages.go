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
	rate     func() int64  // of the network, in bytes a second
	free     chan *block
	idle     []*block // taken from free, and not filled
	interval int64
	flush    *flushClock
	whole    int64 // up to here no checkpoint by time ends a block early, and all blocks may be in flight

	tail int64 // bytes since the last multiple of interval
	crc  uint32
}

// run fills blocks from the socket up to the end of the package, and then makes
// sure that the answer ends there too.
func (r *receiver) run(from, size int64, out chan<- *block) error {
	defer func() {
		for _, b := range r.idle {
			r.free <- b
		}
	}()
	for off := from; off < size; {
		if off%r.interval == 0 {
			r.tail, r.crc = 0, 0 // diskWriter makes a checkpoint before it
		}
		b := r.take(r.mayHold(off))
		n, flush, err := r.fill(b.data[:min(blockSize, size-off, r.interval-off%r.interval)], off >= r.whole)
		off += int64(n)
		b.data, b.flush = b.data[:n], flush
		b.after.Offset, b.after.Tail, b.after.TailCRC = off, r.tail, r.crc
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

// take returns a block to fill, once fewer than most are in flight.
func (r *receiver) take(most int) *block {
	for blockCount-len(r.idle) >= most {
		r.idle = append(r.idle, <-r.free)
	}
	last := len(r.idle) - 1
	b := r.idle[last]
	r.idle = r.idle[:last]
	return b
}

// mayHold returns how many blocks may be in flight: what the network brings in a
// second, or one interval, whichever is more. A power cut takes those bytes, and on
// a slow link they take long to come again.
func (r *receiver) mayHold(off int64) int {
	if off < r.whole {
		return blockCount
	}
	most := max(r.interval, r.rate()) / min(r.interval, blockSize)
	return int(min(most, blockCount))
}

// fill reads until p is full or, with timed, until a checkpoint is due by the
// clock. Unlike io.ReadFull it counts bytes as they come: on a slow link a block
// takes longer than the rate's window. It carries the CRC of what will be the tail
// of the next checkpoint: a byte that has just come is in the processor's cache.
func (r *receiver) fill(p []byte, timed bool) (n int, flush bool, err error) {
	for n < len(p) && err == nil && !flush {
		var k int
		k, err = r.body.Read(p[n:])
		r.crc = crc32.Update(r.crc, castagnoli, p[n:n+k])
		r.tail += int64(k)
		n += k
		r.count(int64(k))
		flush = timed && k > 0 && r.flush.due(time.Now())
	}
	if n == len(p) || flush {
		return n, flush, nil
	}
	return n, false, err
}

// hasher is the stage of the digest.
type hasher struct{ digest *hashing.Digest }

// run carries the digest along the stream. It is the slowest stage, so it does
// nothing else and is locked to its own OS thread: it must not wait to be
// scheduled.
func (h *hasher) run(in <-chan *block, out chan<- *block) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for b := range in {
		h.digest.Write(b.data)
		b.after.Digest = h.digest.AppendState(b.after.Digest[:0])
		out <- b
	}
}

// committer is the stage of the journal.
type committer struct {
	commit  func(journal.Checkpoint) error // durable when it returns nil
	durable func(offset int64)             // reports what the journal claims
	broken  func()                         // ends the transfer: the disk's stage may be waiting for the network
}

// commitEnd is how a commit ended.
type commitEnd struct {
	checkpoint journal.Checkpoint
	took       time.Duration
	err        error
}

// run commits one checkpoint after the other, and reports each once it is
// durable.
func (c *committer) run(in <-chan journal.Checkpoint, out chan<- commitEnd) {
	for cp := range in {
		begun := time.Now()
		err := c.commit(cp)
		out <- commitEnd{cp, time.Since(begun), err}
		if err != nil {
			c.broken()
			continue
		}
		c.durable(cp.Offset)
	}
}
