package fsm

import (
	"slices"

	"otad/journal"
	"otad/netio"
)

// What the events write into the journal's record, and what is read out of it.
// The machine commits an edit together with its transition.

// startEdit puts job into the record. The same job keeps its bytes; another one
// gives them up.
func startEdit(job journal.Job, same bool) edit {
	return func(r *journal.Record) {
		if same {
			job.Size = max(job.Size, r.Job.Size)
			r.Validator = keptValidator(*r, job.URL)
		} else {
			r.Generation++
			r.Validator = journal.Validator{}
			if r.Job.Name != "" {
				r.PendingDeletes = append(r.PendingDeletes, r.Job.Name)
			}
		}
		// What is about to be fetched is not garbage: a partial without a
		// checkpoint is cut back to nothing when it is opened.
		r.PendingDeletes = slices.DeleteFunc(r.PendingDeletes, func(name string) bool { return name == job.Name })
		r.Job, r.Error = job, ""
		r.Changed, r.Unsatisfiable, r.Restarts = 0, 0, 0
	}
}

// failEdit records why the job failed, and gives its bytes up where they cannot
// become the package any more, or where there are none.
func failEdit(why *Error, durable int64) edit {
	return func(r *journal.Record) {
		r.Error = why.Error()
		if !why.Code.KeepsPartial() || durable == 0 {
			giveUpBytes(r)
			r.PendingDeletes = append(r.PendingDeletes, r.Job.Name)
		}
	}
}

// giveUpBytes drops every checkpoint, and with the bytes goes what was learned
// of the object that they came from.
func giveUpBytes(r *journal.Record) {
	r.Generation++
	r.Validator = journal.Validator{}
}

// keptValidator is the validator that still holds under url: the same object
// signed anew keeps it, another origin's has to be learned from its answer. The
// size is the package's, wherever it comes from.
func keptValidator(r journal.Record, url string) journal.Validator {
	if netio.Redact(r.Job.URL) == netio.Redact(url) {
		return r.Validator
	}
	return journal.Validator{Total: r.Validator.Total}
}

// sized is the record's job with the size that the origin told, where nobody
// else did. The journal keeps the two apart: a size that was learned goes with
// the bytes of the object that it was learned from.
func sized(r journal.Record) journal.Job {
	job := r.Job
	if job.Size == 0 {
		job.Size = r.Validator.Total
	}
	return job
}
