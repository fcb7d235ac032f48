package fsm

import (
	"otad/hashing"
	"otad/journal"
	"otad/metrics"
)

// startOver gives up every byte of the job: first the journal's claim, then the
// file.
func (t *transfer) startOver(why metrics.RestartReason, also recordChange) error {
	t.startsOver(why)
	rec, err := t.journal.update(func(r *journal.Record) {
		also(r)
		r.Generation++
	})
	if err != nil {
		return err
	}
	return t.reposition(position{digest: hashing.New(algorithms(rec.Job))}, jobWithSize(rec).Size)
}

func (t *transfer) startsOver(why metrics.RestartReason) {
	t.log.Warn("starting over", "reason", why, "offset", t.at.saved.Offset)
	t.report.restart(why)
}

// rewind goes back to a checkpoint that was left behind.
func (t *transfer) rewind(cp journal.Checkpoint) error {
	digest, err := t.digestAt(cp)
	switch {
	case err != nil:
	case cp.Offset == 0:
		err = t.journal.dropCheckpoints()
	default:
		err = t.journal.rewind(cp)
	}
	if err != nil {
		return err
	}
	return t.reposition(position{saved: cp, digest: digest}, 0)
}

// cutDigest takes the bytes that were not stored out of the digest again. The
// hasher had taken them when the blocks were dropped.
func (t *transfer) cutDigest() (err error) {
	if t.at.digest.Len() != t.at.saved.Offset {
		t.at.digest, err = t.digestAt(t.at.saved)
	}
	return err
}

// digestAt returns the digest of the bytes before a checkpoint of this process.
func (t *transfer) digestAt(cp journal.Checkpoint) (*hashing.Digest, error) {
	if cp.Offset == 0 {
		return hashing.New(algorithms(t.journal.record().Job)), nil
	}
	return hashing.Resume(cp.Digest)
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
