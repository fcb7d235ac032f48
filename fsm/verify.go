package fsm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"otad/hashing"
	"otad/journal"
	"otad/metrics"
)

// verify is the work of Verifying: the digest that came along the stream is
// compared, and the file published. It takes the digest from the journal, as a
// start after a power cut would, so that there is one way into Ready.
func (u *Updater) verify(ctx context.Context) (err error) {
	defer func() { u.countVerification(ctx, err) }()
	job := sized(u.Journal.Record())
	file, err := u.StateDir.OpenPartial(job.Name)
	if err != nil {
		return err
	}
	defer closing(file, &err)
	size, err := file.Size()
	switch {
	case err != nil:
		return err
	case size == 0:
		return u.verifyPublished(ctx, job)
	case !u.isWhole(file, size, job) && u.isPublished(job):
		// What stands beside it need not be a partial file any more. An older
		// package of that name says nothing of this one; a stop or a medium that
		// cannot be read gives nothing up.
		if err := u.verifyPublished(ctx, job); !isMismatch(err) {
			return err
		}
	}
	at, err := u.resume(ctx, file, job)
	if err != nil {
		return err
	}
	if at.Offset != job.Size {
		return &Error{Code: DownloadFailed, Detail: fmt.Sprintf("STORAGE lost durable bytes: %d of %d are left; the same job goes on from there", at.Offset, job.Size)}
	}
	if err := compare(job, at.digest); err != nil {
		return err
	}
	if u.cfg.Readback {
		if err := u.readBack(ctx, file, job); err != nil {
			return err
		}
	}
	return file.Publish()
}

// isWhole tells whether the newest checkpoint is the package's end and holds.
func (u *Updater) isWhole(file Partial, size int64, job journal.Job) bool {
	checkpoints := u.Journal.Checkpoints()
	return len(checkpoints) > 0 && checkpoints[0].Offset == job.Size && holds(file, size, checkpoints[0]) == nil
}

// verifyPublished finishes a Verifying that was cut after the rename: only the
// final name is left. Its whole content is digested, because an older package
// may have the same name.
func (u *Updater) verifyPublished(ctx context.Context, job journal.Job) error {
	f, err := u.StateDir.Published(job.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return u.lost("STORAGE lost the package: neither the partial file nor the published one is there")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if size := st.Size(); size != job.Size {
		return u.lost(fmt.Sprintf("STORAGE lost the partial file, and the published %s has %d bytes instead of %d", job.Name, size, job.Size))
	}
	digest, err := rehash(ctx, f, job.Size, algorithms(job), u.progress.readBack)
	if err != nil {
		return err
	}
	if err := compare(job, digest); err != nil {
		return err
	}
	return u.StateDir.RemovePartial(job.Name) // the empty one that was just opened
}

// lost ends a job whose bytes are gone, and the journal's claim to them first.
func (u *Updater) lost(detail string) error {
	if err := u.forgetBytes(); err != nil {
		return err
	}
	return &Error{Code: DownloadFailed, Detail: detail}
}

// readBack digests what the medium holds, not what the page cache remembers.
func (u *Updater) readBack(ctx context.Context, file Partial, job journal.Job) error {
	u.progress.readBack(0)
	if err := file.DropCache(); err != nil {
		return err
	}
	digest, err := rehash(ctx, file, job.Size, algorithms(job), func(n int64) {
		u.progress.readBack(n)
		u.cfg.OnChange(u.Snapshot())
	})
	if err != nil {
		return err
	}
	return compare(job, digest)
}

// compare says whether the digest is the one that the job asks for.
func compare(job journal.Job, d *hashing.Digest) error {
	if got := d.MD5(); job.MD5 != "" && got != job.MD5 {
		return &Error{Code: MD5Mismatch, Detail: fmt.Sprintf("expected %s, got %s", job.MD5, got)}
	}
	if got := d.SHA256(); job.SHA256 != "" && got != job.SHA256 {
		return &Error{Code: SHA256Mismatch, Detail: fmt.Sprintf("expected %s, got %s", job.SHA256, got)}
	}
	return nil
}

// isMismatch tells whether err says that bytes are not the package's.
func isMismatch(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.Code.KeepsPartial()
}

func (u *Updater) countVerification(ctx context.Context, err error) {
	switch {
	case err == nil:
		u.Metrics.Verification(metrics.VerificationMatch)
	case isMismatch(err):
		u.Metrics.Verification(metrics.VerificationMismatch)
	case ctx.Err() == nil:
		u.Metrics.Verification(metrics.VerificationError)
	}
}
