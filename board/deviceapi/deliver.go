package deviceapi

import (
	"context"
	"time"

	"otad/journal"
)

// Run delivers until ctx ends, and then returns nil. What is in the outbox from
// before a reboot is delivered first.
func (c *Callbacks) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		var again <-chan time.Time
		progressed := c.progressed
		if c.sendTransitions(ctx) {
			c.sendProgress(ctx)
		} else {
			// A new transition ends the wait, progress does not: it has to
			// wait for its elders anyway.
			again, progressed = time.After(c.wait()), nil
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-c.transition:
		case <-progressed:
		}
	}
	return nil
}

// sendTransitions empties the outbox. It reports whether that went well; if not,
// the oldest notice is still there and is to be tried again.
func (c *Callbacks) sendTransitions(ctx context.Context) bool {
	for {
		waiting := c.cfg.Outbox.Pending()
		c.cfg.OnQueue(len(waiting))
		if len(waiting) == 0 {
			return true
		}
		n := waiting[0]
		if n.Seq != c.settled && !c.settle(ctx, n) {
			return false
		}
		c.settled = n.Seq
		// A crash here delivers the notice once more after the restart.
		if err := c.cfg.Outbox.Delivered(n.Seq); err != nil {
			c.cfg.Log.Warn("a delivered transition stays in the outbox", "seq", n.Seq, "err", err)
			return false
		}
		c.failures = 0
	}
}

// settle posts a notice once. It reports whether the notice is done with.
func (c *Callbacks) settle(ctx context.Context, n journal.OutboxEntry) bool {
	m := messageOf(n)
	if c.send(ctx, m) != delivered {
		return false
	}
	c.last = m
	return true
}

// sendProgress posts the progress that waits, unless a transition is older or
// has made it stale. One try has to do: the next step is never far.
func (c *Callbacks) sendProgress(ctx context.Context) {
	c.mu.Lock()
	m := c.pending
	c.pending = nil
	c.mu.Unlock()
	switch {
	case m == nil || c.last.sameStep(*m):
		return // the transition itself has told it
	case len(c.cfg.Outbox.Pending()) > 0, c.last.Stage != "" && c.last.Stage != m.Stage:
		c.cfg.OnResult(ResultDropped)
		return
	}
	c.last = *m
	c.send(ctx, *m)
}

// send posts m and tells everybody how that went.
func (c *Callbacks) send(ctx context.Context, m message) result {
	status, err := c.post.send(ctx, m)
	if ctx.Err() != nil && err != nil {
		return unanswered // stopped in the middle: nobody's failure
	}
	r := resultOf(status)
	log := c.cfg.Log.With("stage", m.Stage, "progress", m.Progress)
	switch {
	case r == delivered:
		c.cfg.OnResult(ResultDelivered)
		log.Debug("callback delivered")
	case err != nil:
		c.cfg.OnResult(ResultFailed)
		log.Warn("callback not answered", "err", err)
	default:
		c.cfg.OnResult(ResultRejected)
		log.Warn("callback rejected", "status", status)
	}
	return r
}

// wait is the time until the next try: doubled with each failure, up to a
// minute, and spread by a fifth to both sides, so that a fleet does not hit a
// receiver that comes back all at once.
func (c *Callbacks) wait() time.Duration {
	wait := longestWait
	if c.failures < 6 { // 1 s << 6 is more than a minute
		wait = firstWait << c.failures
		c.failures++
	}
	return min(time.Duration(float64(wait)*(0.8+0.4*c.cfg.Rand())), longestWait)
}
