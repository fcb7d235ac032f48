package deviceapi_test

import (
	"sync"
	"time"
)

// clock is a clock that a test sets, or that each look moves.
type clock struct {
	mu   sync.Mutex
	time time.Time
	step time.Duration
}

func newClock(step time.Duration) *clock { return &clock{time: time.Unix(1e9, 0), step: step} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time = c.time.Add(c.step)
	return c.time
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time = c.time.Add(d)
}
