package fsm

import (
	"net/url"
	"slices"
	"time"

	"otad/journal"
)

// What each event writes into the journal's record, and what is read out of it.

// recordChange changes the journal's record. The change of an event is committed
// in one transaction with the event's new state.
type recordChange func(*journal.Record)

// stateOf returns the state that the record holds. A new journal is Idle. A
// state that this build does not have was written by a newer otad, before the
// board was rolled back: its job goes on as a download, from its checkpoint.
// download looks first whether the package is published already.
func stateOf(r journal.Record) State {
	switch s := State(r.State); {
	case r.State == "" || r.Job.Name == "":
		return Idle
	case s.known():
		return s
	default:
		return Downloading
	}
}

// jobWithSize returns the record's job with the size that the origin reported,
// where the job came without one. The journal keeps the two apart: a reported
// size is given up with the bytes of the object that it was reported for.
func jobWithSize(r journal.Record) journal.Job {
	job := r.Job
	if job.Size == 0 {
		job.Size = r.Validator.Total
	}
	return job
}

// startChange puts job into the record, which was posted at now. The same job
// keeps its bytes; another one gives them up.
func startChange(job journal.Job, same bool, now journal.Progress) recordChange {
	return func(r *journal.Record) {
		if same {
			job.Size = max(job.Size, r.Job.Size)
			r.Validator = keptValidator(*r, job.URL)
		} else {
			nameJob(r)
			r.Generation++
			r.Validator, r.Stats = journal.Validator{}, journal.Stats{}
			if r.Job.Name != "" {
				r.PendingDeletes = append(r.PendingDeletes, r.Job.Name)
			}
		}
		r.Job, r.Stats.Progress = job, now
		keepFile(r)
		r.Error, r.Code, r.Reason = "", "", ""
		r.Install = journal.Install{}
		r.Tries, r.TryStep, r.TryOffset, r.Mismatched = 0, 0, 0, 0
		clearCounts(r)
	}
}

// againChange starts the failed job of the record again. It keeps its bytes, and
// the count of its tries.
func againChange(r *journal.Record) {
	keepFile(r)
	r.Error, r.Code, r.Reason = "", "", ""
	clearCounts(r)
}

// keepFile takes the file of a job that starts off the list of those to be deleted,
// where a deletion that failed has left it. Without a checkpoint the file is
// truncated to nothing when it is opened.
func keepFile(r *journal.Record) {
	r.PendingDeletes = slices.DeleteFunc(r.PendingDeletes, func(name string) bool { return name == r.Job.Name })
}

// clearCounts gives a job that starts again what each start may cost. A mixture
// that did not match is counted over all tries: one fresh download must be enough.
func clearCounts(r *journal.Record) {
	r.Changed, r.Unsatisfiable, r.Restarts = 0, 0, 0
}

// failChange records why the job failed. It gives the bytes up where they cannot
// become the package any more, or where there are none.
func failChange(why *Error, durable int64) recordChange {
	return func(r *journal.Record) {
		r.Error, r.Code, r.Reason = why.Error(), string(why.Code), string(why.Reason)
		r.Install = journal.Install{}
		countTry(r, why, durable)
		if !why.Code.KeepsPartial() || durable == 0 {
			dropCheckpoints(r)
			r.PendingDeletes = append(r.PendingDeletes, r.Job.Name)
		}
	}
}

// readyChange deletes the URL, which may be a key and which nobody needs any
// more. The size, given or reported, is the package's now.
func readyChange(r *journal.Record) {
	r.Job = jobWithSize(*r)
	r.Job.URL, r.Validator = "", journal.Validator{}
	r.Tries, r.TryStep, r.TryOffset = 0, 0, 0
}

// resetChange deletes the job and all that belongs to it. The outbox stays: its
// transitions are still to be delivered.
func resetChange(r *journal.Record) {
	nameJob(r)
	if r.Job.Name != "" {
		r.PendingDeletes = append(r.PendingDeletes, r.Job.Name)
	}
	*r = journal.Record{Generation: r.Generation + 1, PendingDeletes: r.PendingDeletes,
		Outbox: r.Outbox, OutboxSeq: r.OutboxSeq, Published: r.Published}
}

// dropCheckpoints gives up every checkpoint, and with the bytes the validator of
// the object that they came from.
func dropCheckpoints(r *journal.Record) {
	r.Generation++
	r.Mixed = false
	r.Validator = journal.Validator{}
}

// nameJob writes the record's job, which is about to go, to its newest entry in
// the outbox.
func nameJob(r *journal.Record) {
	if n := len(r.Outbox); n > 0 && r.Outbox[n-1].Job == (journal.EntryJob{}) {
		r.Outbox[n-1].Job = r.Job.Entry()
	}
}

// addToOutbox adds an entry that a callback is to deliver. A receiver that is
// away for a week must not find its outbox full of one job's failures. So when a
// job fails again in the way of an earlier try, the entry of that failure goes,
// and with it the entries up to the next failure.
func addToOutbox(r *journal.Record, e journal.OutboxEntry) {
	if e.State == string(Failed) && r.Tries > 1 {
		r.Outbox = withoutFailure(r.Outbox, e)
	}
	r.Outbox = append(r.Outbox, e)
}

// withoutFailure returns the outbox without the failure that e repeats. Only the
// tries at the end are looked at: what rests in another state ends them, and so
// does another job.
func withoutFailure(outbox []journal.OutboxEntry, e journal.OutboxEntry) []journal.OutboxEntry {
	next := len(outbox) // the failure after the one at i
	for i, old := range slices.Backward(outbox) {
		switch {
		case old.Job != (journal.EntryJob{}):
			return outbox
		case State(old.State).Active():
			continue
		case old.State != e.State:
			return outbox
		case old.Code == e.Code && old.Reason == e.Reason:
			return slices.Delete(outbox, i, next)
		}
		next = i
	}
	return outbox
}

// keptValidator returns what is left of r's validator under the URL raw. The
// same object, signed anew, keeps it. Another origin's validator has to be
// learned from its answer; the size is the package's, wherever it comes from.
func keptValidator(r journal.Record, raw string) journal.Validator {
	if sameObject(r.Job.URL, raw) {
		return r.Validator
	}
	return journal.Validator{Total: r.Validator.Total}
}

// sameObject reports whether two URLs differ at most in userinfo, query and
// fragment, as two signatures of one object do.
func sameObject(a, b string) bool {
	u, errA := url.Parse(a)
	v, errB := url.Parse(b)
	return errA == nil && errB == nil && u.Scheme == v.Scheme && u.Host == v.Host && u.EscapedPath() == v.EscapedPath()
}

// commitTransition makes a transition durable, with the change that belongs to
// it and its entry in the outbox.
func (u *Updater) commitTransition(from, to State, c recordChange) error {
	entries := 0 // before the outbox is cut to its bound
	rec, err := u.journal.update(func(r *journal.Record) {
		kept, generation, before, job := u.journal.checkpoints(), r.Generation, State(r.State), r.Job
		old := *r
		c(r)
		r.State = string(to)
		r.Last = lastAfter(old, *r)
		if r.Generation != generation {
			kept = nil // this transaction drops them
		}
		if u.cfg.KeepOutbox && from != to && before != to { // else it is Ready again, see New
			s := recorded(*r, kept, u.cfg.Readback)
			r.OutboxSeq++
			e := journal.OutboxEntry{Seq: r.OutboxSeq, State: r.State, Progress: s.Progress,
				Message: s.Message, Error: s.Error, Code: r.Code, Reason: r.Reason}
			if to == Idle {
				e.Job = job.Entry() // which was deleted
			}
			addToOutbox(r, e)
		}
		entries = len(r.Outbox)
	})
	if dropped := entries - len(rec.Outbox); err == nil && dropped > 0 {
		u.log.Warn("the outbox is full: the oldest transitions are dropped", "dropped", dropped, "kept", len(rec.Outbox))
		u.report.dropped(dropped)
	}
	return err
}

// observe makes a transition visible.
func (u *Updater) observe(from, to State) {
	rec := u.journal.record()
	u.stopTry()
	var nextTry time.Time
	if to == Failed {
		nextTry = u.armTry(rec)
	}
	s := u.report.transition(from, to, rec, u.journal.checkpoints(), nextTry)
	log := u.log.With("from", from, "to", to, "name", s.Name, "version", s.Version)
	if to != Failed {
		if rec.Tries > 0 && to.Active() {
			log = quiet(log)
		}
		log.Info("transition", "durable", s.Durable, "size", s.Size)
		return
	}
	switch times, due := u.trouble.Due(rec.Code+rec.Reason, time.Now()); {
	case rec.Tries <= 1 || times == 1:
		log.Error("the job failed", "err", rec.Error, "durable", s.Durable)
	case due:
		log.Error("the job still fails", "err", rec.Error, "durable", s.Durable, "tries", rec.Tries)
	default:
		quiet(log).Error("the job still fails", "err", rec.Error, "durable", s.Durable, "tries", rec.Tries)
	}
}
