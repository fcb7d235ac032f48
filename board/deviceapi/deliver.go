package deviceapi

import (
	"context"
	"log/slog"
	"time"

	"otad/fsm"
	"otad/journal"
)

// Run posts transitions and progress until ctx ends, and then returns nil. It
// begins with what the outbox holds from before the start of the process. Call
// it once, from one goroutine.
func (c *Callbacks) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		var retry <-chan time.Time
		newProgress := c.newProgress
		if c.postTransitions(ctx) {
			c.postProgress(ctx)
		} else {
			// New progress does not end the wait: it may only be posted after
			// the transitions before it. A new transition does end it.
			retry, newProgress = time.After(c.backoff()), nil
		}
		select {
		case <-ctx.Done():
		case <-retry:
		case <-c.newTransition:
		case <-newProgress:
		}
	}
	return nil
}

// postTransitions posts the outbox until it is empty and returns true. If a
// post or its removal fails, postTransitions returns false: the oldest entry
// must be tried again.
func (c *Callbacks) postTransitions(ctx context.Context) bool {
	for {
		entries := c.cfg.Outbox.Pending()
		c.cfg.OnQueue(len(entries))
		if len(entries) == 0 {
			return true
		}
		oldest := entries[0].Entry
		// If only the removal failed, do not post the entry again.
		if oldest.Seq != c.postedSeq && !c.postTransition(ctx, entries[0]) {
			return false
		}
		c.postedSeq = oldest.Seq
		// A crash here posts the entry once more after the restart.
		if err := c.cfg.Outbox.Delivered(oldest.Seq); err != nil {
			c.warn(c.cfg.Log, "a delivered transition stays in the outbox", "seq", oldest.Seq, "err", err)
			return false
		}
		c.failures = 0
	}
}

// postTransition posts a transition once and reports whether the receiver
// accepted it.
func (c *Callbacks) postTransition(ctx context.Context, t Transition) bool {
	body := bodyOf(t.Entry)
	if !c.send(ctx, callback{body, t.Job, t.Entry.Seq}) {
		return false
	}
	c.lastPost = body
	return true
}

// postProgress posts the pending progress, unless a newer transition has made
// it stale. It tries once: the next multiple of 5 % follows soon.
func (c *Callbacks) postProgress(ctx context.Context) {
	c.mu.Lock()
	body, version, name := c.pending, c.job.version, c.job.name
	c.pending = nil
	c.mu.Unlock()
	switch {
	case body == nil || c.lastPost.sameStep(*body):
		return // the transition reported the same step
	case len(c.cfg.Outbox.Pending()) > 0, c.lastPost.Stage != "" && c.lastPost.Stage != body.Stage:
		c.cfg.OnResult(ResultDropped)
		return
	}
	job := c.cfg.Outbox.Job()
	if job.Version != version || job.Name != name {
		job = journal.EntryJob{} // a newer one since: the progress is not of it
	}
	c.lastPost = *body
	c.send(ctx, callback{body: *body, job: job})
}

// send posts m once, logs and counts the result, and reports whether the
// receiver accepted it.
func (c *Callbacks) send(ctx context.Context, m callback) bool {
	status, err := c.post.send(ctx, m)
	if ctx.Err() != nil && err != nil {
		return false // otad stops; the receiver did not fail
	}
	log := c.cfg.Log.With("stage", m.body.Stage, "progress", m.body.Progress)
	switch {
	case err != nil:
		c.cfg.OnResult(ResultFailed)
		c.warn(log, "callback not answered", "err", err)
		return false
	case status < 200 || status > 299:
		c.cfg.OnResult(ResultRejected)
		c.warn(log, "callback rejected", "status", status)
		return false
	}
	c.cfg.OnResult(ResultDelivered)
	if c.warned > 0 {
		log.Info("callbacks are accepted again", "failed", c.warned)
	}
	c.trouble, c.warned = fsm.Distance{}, 0
	log.Debug("callback delivered")
	return true
}

// warn logs a failure of the delivery, at growing distances while one follows
// another: a receiver may be away for weeks.
func (c *Callbacks) warn(log *slog.Logger, message string, args ...any) {
	times, due := c.trouble.Due("delivery", time.Now())
	level := slog.LevelDebug
	if due {
		level = slog.LevelWarn
	}
	if c.warned = times; times > 1 {
		message, args = "still: "+message, append(args, "times", times)
	}
	log.Log(context.Background(), level, message, args...)
}

// backoff returns the wait before the next try: 1 s, 2 s, 4 s and so on, each
// moved by up to 20 % either way, at most 1 min.
func (c *Callbacks) backoff() time.Duration {
	wait := fsm.Backoff(c.failures, c.cfg.Rand())
	c.failures++
	return min(wait, maxBackoff)
}
