package fsm

import (
	"context"
	"errors"
	"time"

	"otad/netio"
)

// waitFor is what a transfer waits for without spending retries, as a person
// reads it.
type waitFor string

const (
	waitNothing waitFor = "Downloading"
	waitNetwork waitFor = "waiting for the network"
	waitClock   waitFor = "waiting for the clock: the board's time is before the build of otad"
	waitHold    waitFor = "held by the hold file"
)

// holdPoll is how often the hold file is looked at: a schedule that touches it
// counts in minutes.
const holdPoll = 2 * time.Second

// errHeld ends an attempt while the hold file exists. What was received is
// checkpointed; no retry is spent.
var errHeld = errors.New("held")

// waitHeld returns when no hold file exists, or with ctx's error.
func (t *transfer) waitHeld(ctx context.Context) error {
	if t.cfg.Held == nil || !t.cfg.Held() {
		return nil
	}
	t.log.Info("held: no request is made", "offset", t.at.saved.Offset)
	t.report.waiting(waitHold)
	t.pauseCount()
	for t.cfg.Held() {
		if err := t.pause(ctx, holdPoll); err != nil {
			return err
		}
	}
	t.log.Info("no longer held")
	t.policy.online(time.Now()) // the network may have been away for the hold's sake
	t.resumeCount()
	t.report.waiting(waitNothing)
	return nil
}

// heldOr returns errHeld for an attempt that a hold file has ended, else err. An
// error of the board stays what it is.
func (t *transfer) heldOr(ctx context.Context, err error) error {
	var f *netio.Error
	if errors.Is(context.Cause(ctx), errHeld) && (errors.Is(err, ctx.Err()) || errors.As(err, &f)) {
		return errHeld
	}
	return err
}

// watchHold ends the attempt of cancel when a hold file appears. It returns when
// ctx ends.
func (t *transfer) watchHold(ctx context.Context, cancel context.CancelCauseFunc) {
	for t.cfg.Held != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(holdPoll):
			if t.cfg.Held() {
				cancel(errHeld)
				return
			}
		}
	}
}
