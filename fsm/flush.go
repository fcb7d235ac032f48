package fsm

import "time"

// flushClock says when bytes that do not fill an interval are checkpointed all
// the same: first after firstFlush, then after twice the time of before up to
// longest. So a slow link makes durable progress, and a board that is up for
// seconds at a time arrives. The receiver owns it.
type flushClock struct {
	longest time.Duration // 0: never
	step    time.Duration
	at      time.Time // zero: no byte has been received
}

const firstFlush = 2 * time.Second

// due reports whether a checkpoint is due. The first byte starts the clock.
func (c *flushClock) due(now time.Time) bool {
	switch {
	case c.longest == 0:
		return false
	case c.at.IsZero():
		c.step = min(firstFlush, c.longest)
		c.at = now.Add(c.step)
		return false
	case now.Before(c.at):
		return false
	}
	c.step = min(2*c.step, c.longest)
	c.restart(now)
	return true
}

// restart counts the time from now, once the clock runs: a checkpoint is being
// made.
func (c *flushClock) restart(now time.Time) {
	if !c.at.IsZero() {
		c.at = now.Add(c.step)
	}
}
