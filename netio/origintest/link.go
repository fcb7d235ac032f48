package origintest

import (
	"errors"
	"sync"
	"time"
)

// Link is the network between the origin and its clients. The zero value adds
// nothing to the real one.
type Link struct {
	BytesPerSecond int64         // for all connections together; 0: no limit
	Latency        time.Duration // before each response
	// ResetEvery is the number of bytes after which each connection is reset.
	// It includes headers, but not the overhead of TLS. 0: never.
	ResetEvery int64
}

// pacer shares a rate among connections.
type pacer struct {
	mu   sync.Mutex
	rate int64
	free time.Time // when the link will have sent all bytes given to it
}

// take reserves the link for n bytes and returns how long to wait before they
// may be sent.
func (p *pacer) take(n int) time.Duration {
	if p.rate <= 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	wait := p.free.Sub(now)
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	return wait
}

var errCut = errors.New("connection cut")

// write writes p over the link and returns the number of bytes sent.
func (c *conn) write(p []byte) (int, error) {
	reset := false
	if every := c.o.config.Link.ResetEvery; every > 0 && c.sent+int64(len(p)) >= every {
		p, reset = p[:every-c.sent], true
	}
	if !c.pause(c.o.pacer.take(len(p))) {
		return 0, errCut
	}
	n, err := c.Conn.Write(p)
	c.sent += int64(n)
	if reset && err == nil {
		c.resetPending = true // reset after the bytes have been recorded
		err = errCut
	}
	return n, err
}

// stall waits for Release. It returns false if the connection or the origin
// ended.
func (c *conn) stall(request int) bool {
	c.o.mu.Lock()
	released := c.o.released
	c.o.mu.Unlock()
	select {
	case c.o.stalled <- request:
	default: // full: the test does not receive
	}
	select {
	case <-released:
		return true
	case <-c.done:
	case <-c.o.closing:
	}
	return false
}

// Release continues all stalled responses. Responses that stall later wait for
// the next Release.
func (o *Origin) Release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.released)
	o.released = make(chan struct{})
}

// Stalled returns a channel with the number of each request whose response has
// stalled. It holds up to 64 numbers and drops further ones.
func (o *Origin) Stalled() <-chan int { return o.stalled }
