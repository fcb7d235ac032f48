package fsm

import (
	"otad/hashing"
	"otad/journal"
	"otad/metrics"
)

// startOver gives up every byte of the job: first the journal's claim, then the
// file.
func (t *transfer) startOver(why metrics.RestartReason, also recordChange) error {
	t.log.Warn("starting over", "reason", why, "offset", t.at.saved.Offset)
	t.report.restart(why)
	rec, err := t.journal.update(func(r *journal.Record) {
		also(r)
		r.Generation++
	})
	if err != nil {
		return err
	}
	return t.reposition(position{digest: hashing.New(algorithms(rec.Job))}, jobWithSize(rec).Size)
}

// rewind goes back to a checkpoint that was left behind.
func (t *transfer) rewind(cp journal.Checkpoint) error {
	if cp.Offset == 0 {
		if err := t.journal.dropCheckpoints(); err != nil {
			return err
		}
		return t.reposition(position{digest: hashing.New(algorithms(t.journal.record().Job))}, 0)
	}
	if err := t.journal.rewind(cp); err != nil {
		return err
	}
	digest, err := hashing.Resume(cp.Digest)
	if err != nil {
		return err
	}
	return t.reposition(position{saved: cp, digest: digest}, 0)
}

// reposition makes the file, and what is reported, agree with to.
func (t *transfer) reposition(to position, size int64) error {
	t.report.discarded(t.at.saved.Offset - to.saved.Offset)
	t.at = to
	t.report.rewound(to.saved.Offset)
	if err := t.file.Truncate(to.saved.Offset); err != nil {
		return err
	}
	return t.reserve(size)
}
