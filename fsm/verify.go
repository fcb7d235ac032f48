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

// verifier is the work of Verifying. The goroutine of the work owns it.
type verifier struct {
	dir      StateDir
	journal  *journalWriter
	report   *reporter
	resumer  resumer
	judge    judge
	readback bool
}

func (u *Updater) newVerifier() *verifier {
	return &verifier{dir: u.dir, journal: u.journal, report: u.report,
		resumer: resumer{u.journal, u.report, u.log}, judge: u.judge, readback: u.cfg.Readback}
}

// verify compares the digest that came along the stream and publishes the file.
// It takes the digest from the journal, as a start after a power cut does, so
// that there is one way into Ready.
func (v *verifier) verify(ctx context.Context) (err error) {
	defer func() { v.count(ctx, err) }()
	rec := v.journal.record()
	ready := State(rec.State) == Ready // see New; there is no partial file
	if ready {
		if _, err := statPublished(v.dir, rec.Job.Name); errors.Is(err, fs.ErrNotExist) {
			return nil // whoever installed the package has deleted it since
		}
	}
	if rec, err = v.judge.again(rec); err != nil {
		return err
	}
	job := jobWithSize(rec)
	if ready {
		return v.asDamaged(ctx, v.provePublished(ctx, job))
	}
	file, err := v.dir.OpenPartial(job.Name)
	if err != nil {
		return err
	}
	defer closeKeepErr(file, &err)
	size, err := file.Size()
	switch {
	case err != nil:
		return err
	case size == 0:
		return v.finishPublished(ctx, job)
	case !v.isWhole(file, size, job) && isPublished(v.dir, job):
		// A package with this name exists, so the crash may have come after the
		// rename. If it matches the digest, the job is done. If it does not (an
		// older package), go on with the partial file. On any other error (stop,
		// read error) return it and delete nothing.
		if err := v.finishPublished(ctx, job); !isMismatch(err) {
			return err
		}
	}
	at, err := v.resumer.resume(ctx, file, job)
	if err != nil {
		return err
	}
	if at.saved.Offset != job.Size {
		return storageLost("lost durable bytes: %d of %d are left; the same job goes on from there", at.saved.Offset, job.Size)
	}
	if err := compare(job, at.digest); err != nil {
		return err
	}
	if v.readback {
		if err := v.readFile(ctx, file, job); err != nil {
			return err
		}
	}
	return file.Publish(job.Size)
}

// isWhole reports whether the newest checkpoint is the package's end and holds.
func (v *verifier) isWhole(file Partial, size int64, job journal.Job) bool {
	checkpoints := v.journal.checkpoints()
	return len(checkpoints) > 0 && checkpoints[0].Offset == job.Size && holds(file, size, checkpoints[0]) == nil
}

// finishPublished ends a Verifying that was cut after the rename: only the final
// name is left.
func (v *verifier) finishPublished(ctx context.Context, job journal.Job) error {
	if err := v.provePublished(ctx, job); err != nil || job.Output != "" {
		return err
	}
	return v.dir.RemovePartial(job.Name) // the empty one that was just opened
}

// provePublished digests the published file. A package that is not there, or has
// another size, means that the disk lost the bytes; the journal's claim to them
// ends first.
func (v *verifier) provePublished(ctx context.Context, job journal.Job) error {
	err := verifyPublished(ctx, v.dir, job, v.report.read)
	var lost *Error
	if errors.As(err, &lost) && lost.Reason == StorageLost {
		if err := v.journal.dropCheckpoints(); err != nil {
			return err
		}
	}
	return err
}

// asDamaged returns the error of a package that was Ready and is not what it was.
func (v *verifier) asDamaged(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || isReplaced(err) {
		return err
	}
	e := damaged("the package that was ready is not what it was: %s; post the job again", asError(err).Detail)
	e.Err = err
	return e
}

func damaged(format string, args ...any) *Error {
	return &Error{Code: DownloadFailed, Reason: PackageDamaged, Detail: fmt.Sprintf(format, args...)}
}

// readFile digests what the medium holds, not what the page cache holds.
func (v *verifier) readFile(ctx context.Context, file Partial, job journal.Job) error {
	v.report.read(0)
	if err := file.DropCache(); err != nil {
		return err
	}
	digest, err := rehash(ctx, file, job.Size, algorithms(job), v.report.readBack)
	if err != nil {
		return err
	}
	return compare(job, digest)
}

// count counts how the comparison ended. A stop is no end.
func (v *verifier) count(ctx context.Context, err error) {
	switch {
	case err == nil:
		v.report.verification(metrics.VerificationMatch)
	case isMismatch(err), isDamaged(err):
		v.report.verification(metrics.VerificationMismatch)
	case ctx.Err() == nil:
		v.report.verification(metrics.VerificationError)
	}
}

// isPublished reports whether a file of the package's name and size is there.
func isPublished(dir StateDir, job journal.Job) bool {
	f, err := dir.Published(job.Name)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	return err == nil && st.Size() == job.Size
}

// verifyPublished digests the whole package under its final name, because an
// older package may have the same one. It calls report with the bytes done. It
// returns nil when the package is the job's, a mismatch when it is not, and
// StorageLost when it is not there or has another size.
func verifyPublished(ctx context.Context, dir StateDir, job journal.Job, report func(int64)) error {
	f, err := dir.Published(job.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return storageLost("lost the package: neither the partial file nor the published one is there")
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
		return storageLost("lost the partial file, and the published %s has %d bytes instead of %d", job.Name, size, job.Size)
	}
	digest, err := rehash(ctx, f, job.Size, algorithms(job), report)
	if err != nil {
		return err
	}
	return compare(job, digest)
}

func storageLost(format string, args ...any) *Error {
	return &Error{Code: DownloadFailed, Reason: StorageLost, Detail: fmt.Sprintf(format, args...)}
}

// compare returns a mismatch when a digest is not the one that the job asks for.
func compare(job journal.Job, d *hashing.Digest) error {
	if got := d.MD5(); job.MD5 != "" && got != job.MD5 {
		return &Error{Code: MD5Mismatch, Detail: fmt.Sprintf("expected %s, got %s", job.MD5, got)}
	}
	if got := d.SHA256(); job.SHA256 != "" && got != job.SHA256 {
		return &Error{Code: SHA256Mismatch, Detail: fmt.Sprintf("expected %s, got %s", job.SHA256, got)}
	}
	return nil
}

func isDamaged(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == PackageDamaged
}

// isMismatch reports whether err proves that bytes are not the package's.
func isMismatch(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.Code.KeepsPartial()
}
