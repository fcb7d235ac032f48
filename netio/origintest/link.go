package origintest

import (
	"errors"
	"sync"
	"time"
)

// Link is what lies between the origin and the client. The zero value is as good as the network underneath.
type Link struct {
	BytesPerSecond int64         // of all connections together; 0: no limit
	Latency        time.Duration // before each answer
	ResetEvery     int64         // each connection is reset after so many bytes, header included (under TLS: before encryption); 0: never
}

// pacer shares a rate among connections.
type pacer struct {
	mu   sync.Mutex
	rate int64
	free time.Time // when the link has sent all that was given to it
}

// take reserves the link for n bytes and returns how long to wait before they may be sent.
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

// write sends p over the link and returns how much of it went out.
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
		c.doomed = true // the reset itself waits until the bytes are in the record
		err = errCut
	}
	return n, err
}

// stall waits for Release; false: the connection or the origin is at its end.
func (c *conn) stall(request int) bool {
	c.o.mu.Lock()
	released := c.o.released
	c.o.mu.Unlock()
	select {
	case c.o.stalled <- request:
	default: // nobody has looked at the last ones
	}
	select {
	case <-released:
		return true
	case <-c.gone:
	case <-c.o.closing:
	}
	return false
}

// Release lets every stalled answer go on. Answers that stall later wait for the next call.
func (o *Origin) Release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.released)
	o.released = make(chan struct{})
}

// Stalled delivers the number of each request whose answer has begun to stall. It keeps the first 64 that nobody receives.
func (o *Origin) Stalled() <-chan int { return o.stalled }
