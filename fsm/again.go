package fsm

import (
	"context"
	"time"

	"otad/journal"
)

// What a request for the job that is current already changes, and how a package
// that is Ready is looked at again.

// refresh replaces the URL and the signature of the job. It does nothing for those
// that the journal has already: a client that asks again and again must neither
// wear out the flash nor cut every wait short.
func (u *Updater) refresh(job journal.Job, signed journal.Signed) error {
	now := u.journal.record().Job
	if now.URL == job.URL && now.Signature == job.Signature && now.SignatureURL == job.SignatureURL {
		return nil
	}
	_, err := u.journal.update(func(r *journal.Record) {
		r.Validator = keptValidator(*r, job.URL)
		r.Job.URL = job.URL
		switch {
		case job.Signature != "":
			r.Job, r.Signed = withSignature(r.Job, job.Signature), signed
		case r.Job.Signature == "": // else it was fetched meanwhile
			r.Job.SignatureURL = job.SignatureURL
		}
	})
	if err != nil {
		return err
	}
	defer u.journal.tidy(u.dir, u.log)
	if u.work.failed() {
		u.stopWork() // the old URL failed; the new one is tried before anything is reported
		return nil
	}
	select {
	case u.newURL <- struct{}{}:
	default:
	}
	return nil
}

// show puts the machine into a state that the journal does not hold: it holds
// Ready, and the package is about to be proved again.
func (u *Updater) show(state State) {
	rec := u.journal.record()
	rec.State = string(state)
	u.machine = newMachine(state, u.commitTransition, u.observe)
	u.report.load(rec, u.journal.checkpoints(), time.Time{})
}

// proveAgain has the package digested that is Ready. The job, the same one, takes
// its place if the package is not what it was.
func (u *Updater) proveAgain(job journal.Job, signed journal.Signed) error {
	if job.Signature != u.journal.record().Job.Signature {
		_, err := u.journal.update(func(r *journal.Record) { r.Job, r.Signed = withSignature(r.Job, job.Signature), signed })
		if err != nil {
			return err
		}
	}
	u.again = startChange(job, signed, false, u.report.progressNow())
	if u.machine.current() == Ready {
		u.show(Verifying)
	}
	return nil
}

// Recheck takes the verdict on signatures again after what is trusted has changed:
// on a package that is Ready, and on a job that failed for its signature. It
// blocks like Start. Errors: the journal's, or ctx's.
func (u *Updater) Recheck(ctx context.Context) error {
	return u.ask(ctx, func(ctx context.Context) error {
		rec := u.journal.record()
		switch {
		case u.machine.current() == Ready && isThere(u.dir, rec):
			u.show(Verifying)
		case u.machine.current() == Verifying:
			u.stopWork() // its verdict may be the one of before
		case u.judge.isTrusted(rec):
			return u.machine.fire(ctx, evStart, againChange)
		}
		return nil
	})
}
