package fsm

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"otad/hashing/signature"
	"otad/journal"
)

// Code is the class of an error that ended a job: the same in the journal, the
// API, a callback, the metrics and on stderr.
type Code string

// The codes of a job that failed. [Code.KeepsPartial] reports what becomes of
// the partial file.
const (
	DownloadFailed      Code = "DOWNLOAD_FAILED"
	MD5Mismatch         Code = "MD5_MISMATCH"
	SHA256Mismatch      Code = "SHA256_MISMATCH"
	PackageSizeMismatch Code = "PACKAGE_SIZE_MISMATCH"
	DiskFull            Code = "DISK_FULL"
	SignatureInvalid    Code = "SIGNATURE_INVALID"
)

// KeepsPartial reports whether the bytes fetched so far can still become the
// package. A mismatch proves that they cannot.
func (c Code) KeepsPartial() bool {
	return c == DownloadFailed || c == DiskFull || c == SignatureInvalid
}

// Reason is why a download failed, within its code.
type Reason string

// The reasons of DOWNLOAD_FAILED. Those of SIGNATURE_INVALID are the problems of
// package signature in upper case; the other codes have none.
const (
	ObjectChanged       Reason = "OBJECT_CHANGED"        // the origin's object changed twice under one job
	RangeNotSatisfiable Reason = "RANGE_NOT_SATISFIABLE" // the origin refused the offset twice
	URLExpired          Reason = "URL_EXPIRED"           // the same job with a newly signed URL goes on
	StorageLost         Reason = "STORAGE"               // the disk lost bytes that it had reported durable, or cannot read them
	CrashLoop           Reason = "CRASH_LOOP"            // otad ended at every start without a new checkpoint
	Refused             Reason = "REFUSED"               // the origin refused for good, as by a 404
	Unusable            Reason = "UNUSABLE"              // the origin's answer cannot be used
	RetriesSpent        Reason = "RETRIES_SPENT"         // every retry failed
	BoardError          Reason = "BOARD_ERROR"           // the board's file system or journal failed
	PackageDamaged      Reason = "PACKAGE_DAMAGED"       // the file of a package that was Ready is not what it was
)

// reasonNone is the reason of codes without reasons, as a metric label.
const reasonNone = "NONE"

// prefix returns how the reason begins the detail of an error's text. The text
// of the other reasons speaks for itself.
func (r Reason) prefix() string {
	switch r {
	case ObjectChanged, RangeNotSatisfiable, URLExpired, StorageLost, PackageDamaged:
		return string(r) + " "
	case CrashLoop:
		return string(r) + ": "
	default:
		return ""
	}
}

// Failures returns every pair of code and reason that a job can fail with, as
// label values of a metric.
func Failures() [][2]string {
	var out [][2]string
	for _, r := range []Reason{ObjectChanged, RangeNotSatisfiable, URLExpired, StorageLost, CrashLoop, Refused, Unusable, RetriesSpent, BoardError, PackageDamaged} {
		out = append(out, [2]string{string(DownloadFailed), string(r)})
	}
	for _, c := range []Code{MD5Mismatch, SHA256Mismatch, PackageSizeMismatch, DiskFull} {
		out = append(out, [2]string{string(c), reasonNone})
	}
	for _, p := range signature.Problems() {
		out = append(out, [2]string{string(SignatureInvalid), string(signatureReason(p))})
	}
	return out
}

// Error is why a job failed. Its text is "CODE: detail" and holds no secret of
// the job's URL.
type Error struct {
	Code   Code   // empty in a journal written before codes were recorded
	Reason Reason // empty for the codes that have none
	Detail string // one line, without code and reason
	Err    error  // the cause, for errors.Is and errors.As; may be nil
}

// Error returns code, reason and detail in one line.
func (e *Error) Error() string { return e.prefix() + e.Detail }

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) prefix() string {
	switch {
	case e.Code == "":
		return ""
	case e.Code == SignatureInvalid && e.Reason != "":
		return string(e.Code) + ": " + string(e.Reason) + " "
	}
	return string(e.Code) + ": " + e.Reason.prefix()
}

// recordedError returns the error that a record holds, nil for none.
func recordedError(r journal.Record) *Error {
	if r.Error == "" {
		return nil
	}
	e := &Error{Code: Code(r.Code), Reason: Reason(r.Reason)}
	e.Detail = strings.TrimPrefix(r.Error, e.prefix())
	return e
}

// ErrBusy is returned by [Updater.Start] for another job while one is being
// downloaded or verified.
var ErrBusy = errors.New("another package is being downloaded")

// UnfinishedError is returned by [Updater.StartBeforeRun] when the journal holds
// another job whose bytes would be lost.
type UnfinishedError struct {
	Job    journal.Job
	Offset int64 // bytes durable of it
}

// Error returns the job's name and its durable bytes in one line.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("another package is unfinished here: %s (%d bytes are durable)", e.Job.Name, e.Offset)
}

// asError returns err as an *Error. An error of another type came from this
// board, not from the origin, and the bytes so far are kept.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: DownloadFailed, Reason: BoardError, Detail: err.Error(), Err: err}
}

// spaceError is an error that holds how many bytes a package still takes and how
// many there are for it, as that of [Partial.Reserve] does. A second look at the
// file system would return other numbers while somebody else writes to it.
type spaceError interface {
	error
	Space() (need, free int64)
}

// storageError returns err as DISK_FULL where the file system or a quota has no
// room, and any other error as it is. The text holds the bytes that the rest of
// the package needs and those that there are. Where the numbers do not explain
// the error (a quota, no inode, no room for a name), the cause is added.
func storageError(err error, need, minFree int64, free func() (int64, error)) error {
	var named *Error
	if errors.As(err, &named) || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	full := &Error{Code: DiskFull, Err: err}
	var space spaceError
	if errors.As(err, &space) {
		need, n := space.Space()
		full.Detail = spaceDetail(need, n)
		return full
	}
	n, statErr := free()
	if statErr != nil {
		full.Detail = fmt.Sprintf("need %d bytes, free space unknown", need)
		return full
	}
	n = max(0, n-minFree)
	full.Detail = spaceDetail(need, n)
	if cause := err.Error(); need <= n && cause != full.Detail {
		full.Detail += " (" + cause + ")"
	}
	return full
}

func spaceDetail(need, free int64) string {
	return fmt.Sprintf("need %d bytes, %d free", need, free)
}

// closeKeepErr closes f at the end of a function. It puts the error of Close
// into err unless there is one already.
func closeKeepErr(f io.Closer, err *error) {
	if closeErr := f.Close(); *err == nil {
		*err = closeErr
	}
}
