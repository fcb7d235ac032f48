package fsm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"otad/journal"
	"otad/metrics"
)

// takeUp goes on where the last process stopped. It counts itself in the
// journal first, so that a job that kills otad each time ends in Failed.
func (u *Updater) takeUp(ctx context.Context) error {
	u.collect()
	rec := u.Journal.Record()
	if s := stateOf(rec); s != Downloading && s != Verifying || !u.started.IsZero() {
		return nil // nothing is under way, or this very process began it
	}
	u.cause = metrics.CauseRestart
	u.started = time.Now()
	var newest uint64
	if cps := u.Journal.Checkpoints(); len(cps) > 0 {
		newest = cps[0].Seq
	}
	rec, err := u.update(func(r *journal.Record) {
		if r.RestartsSeq != newest {
			r.Restarts, r.RestartsSeq = 0, newest
		}
		r.Restarts++
	})
	if err != nil {
		return err
	}
	u.Log.Info("taking up the job", "state", rec.State, "name", rec.Job.Name, "version", rec.Job.Version,
		"durable", u.durable(), "size", rec.Job.Size, "take_ups", rec.Restarts)
	if rec.Restarts > maxTakeUps {
		why := &Error{Code: DownloadFailed, Detail: fmt.Sprintf("CRASH_LOOP: otad ended %d times in a row while taking up this job, without a new checkpoint", maxTakeUps)}
		if err := u.machine.fire(ctx, evFail, failEdit(why, u.durable())); err != nil {
			return err
		}
		u.count(evFail, why)
		u.collect()
		u.unreserve(rec.Job.Name)
	}
	return nil
}

// unreserve gives back the space of bytes that a job which failed never got.
func (u *Updater) unreserve(name string) {
	durable := u.durable()
	if durable == 0 {
		return // the whole file is gone
	}
	file, err := u.StateDir.OpenPartial(name)
	if err == nil {
		err = errors.Join(file.Truncate(durable), file.Close())
	}
	if err != nil {
		u.Log.Warn("the reserved space stays taken", "err", err)
	}
}

// discount takes this process out of the count of take-ups for as long as there
// is no network. A board that is switched off before its modem has come up, day
// after day, is in no crash loop.
func (t *transfer) discount() {
	if t.Journal.Record().Restarts == 0 {
		return
	}
	t.discounted = t.countTakeUp(-1)
}

// recount takes it in again: from now on a death is a death, until this start
// has been survived like any other.
func (t *transfer) recount() {
	if t.discounted {
		t.discounted = !t.countTakeUp(+1)
		t.alive.Reset(survival)
	}
}

func (t *transfer) countTakeUp(n int) bool {
	_, err := t.update(func(r *journal.Record) { r.Restarts = max(0, r.Restarts+n) })
	if err != nil {
		t.Log.Warn("the journal cannot count a start", "err", err)
	}
	return err == nil
}

// survived ends the count of take-ups: this one was no crash.
func (u *Updater) survived() {
	rec, cps := u.Journal.Record(), u.Journal.Checkpoints()
	if rec.Restarts == 0 || len(cps) > 0 && cps[0].Seq != rec.RestartsSeq {
		return // no count, or one that a checkpoint has made void: a stop is in a hurry
	}
	if _, err := u.update(func(r *journal.Record) { r.Restarts = 0 }); err != nil {
		u.Log.Warn("the journal cannot note a survived start", "err", err)
	}
}
