package fsm

import (
	"context"
	"time"

	"otad/journal"
	"otad/metrics"
)

// What a request for a job, or for its end, changes.

func (u *Updater) start(ctx context.Context, job journal.Job) error {
	if err := job.Validate(); err != nil {
		return err
	}
	if err := u.source.CheckURL(job.URL); err != nil {
		return &journal.FieldError{Field: journal.FieldURL, Problem: "is refused: " + err.Error()}
	}
	if job.SignatureURL != "" {
		if err := u.source.CheckURL(job.SignatureURL); err != nil {
			return &journal.FieldError{Field: journal.FieldSignatureURL, Problem: "is refused: " + err.Error()}
		}
	}
	rec := u.journal.record()
	same := rec.Job.Same(job)
	job, signed, err := u.judge.posted(job, rec, same)
	if err != nil {
		return err
	}
	same = same && (signed == journal.Signed{} || rec.Signed == journal.Signed{} || signed.SHA256 == rec.Signed.SHA256)
	if !same && u.isInstalling(rec) {
		return ErrInstalling // also while its package is digested again
	}
	state := u.machine.current()
	switch {
	case State(rec.State) == Ready:
		same = same && isThere(u.dir, rec) // else it was taken away: fetch it anew
		if same && (job.Signature != "" || !u.judge.required()) {
			return u.proveAgain(job, signed)
		} // else the signature is fetched, and the package is there
		if u.isInstalling(rec) {
			return ErrInstalling
		}
		u.stopWork() // whoever asked for it has been answered
		u.again = nil
		if state.Active() {
			u.show(Ready)
		}
	case state.Active() && !same && rec.Tries == 0:
		return ErrBusy
	case state.Active() && !same:
		// It was reported failed: whoever asked for it has been answered.
		if err := u.reset(ctx); err != nil {
			return err
		}
	case state.Active():
		return u.refresh(job, signed)
	}
	u.cause = metrics.CauseNewURL
	u.started = time.Now()
	if err := u.machine.fire(ctx, evStart, startChange(job, signed, same, u.report.progressNow())); err != nil {
		if state.Active() && State(rec.State) == Ready {
			u.show(state) // what is Ready is still to be proved
		}
		return err
	}
	u.journal.tidy(u.dir, u.log)
	return nil
}

func (u *Updater) reset(ctx context.Context) error {
	busy := u.machine.current().Active() && State(u.journal.record().State) != Ready
	u.stopWork()
	u.again = nil
	if err := u.machine.fire(ctx, evReset, resetChange); err != nil {
		return err
	}
	if busy {
		u.report.finished(metrics.Cancelled, time.Time{}, nil)
	}
	u.journal.tidy(u.dir, u.log)
	return nil
}
