package fsm

import (
	"errors"
	"fmt"
	"strings"

	"otad/journal"
)

// Code is the machine-readable half of an error, the same in the journal, the
// API, the callback and on stderr.
type Code string

// The codes of a job that failed. What each leaves of the partial file is said
// by [Code.KeepsPartial].
const (
	DownloadFailed      Code = "DOWNLOAD_FAILED"
	MD5Mismatch         Code = "MD5_MISMATCH"
	SHA256Mismatch      Code = "SHA256_MISMATCH"
	PackageSizeMismatch Code = "PACKAGE_SIZE_MISMATCH"
	DiskFull            Code = "DISK_FULL"
)

// KeepsPartial tells whether the bytes fetched so far can still become the
// package: a mismatch proves that they cannot.
func (c Code) KeepsPartial() bool { return c == DownloadFailed || c == DiskFull }

// Error is why a job failed: "CODE: detail". Its text holds no secret of the
// job's URL.
type Error struct {
	Code   Code
	Detail string
	Err    error // the cause, for errors.Is and errors.As; may be nil
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

func (e *Error) Unwrap() error { return e.Err }

// ParseError is the inverse of Error's text, as the journal and a Snapshot hold
// it; nil for an empty one.
func ParseError(text string) *Error {
	if text == "" {
		return nil
	}
	code, detail, _ := strings.Cut(text, ": ")
	return &Error{Code: Code(code), Detail: detail}
}

// ErrBusy answers Start with another job while one is Downloading or Verifying.
var ErrBusy = errors.New("another package is being downloaded")

// UnfinishedError answers Adopt when the journal holds another job whose bytes
// would be lost.
type UnfinishedError struct {
	Job    journal.Job
	Offset int64 // bytes durable of it
}

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("another package is unfinished here: %s (%d bytes are durable)", e.Job.Name, e.Offset)
}

// failed makes any error that ended a job an *Error; one that is none yet came
// from this board, not from the origin, and the bytes so far are kept.
func failed(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: DownloadFailed, Detail: err.Error(), Err: err}
}
