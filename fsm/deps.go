package fsm

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"otad/hashing/signature"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// Journal is what the machine needs of *journal.Journal. What a method was given
// is durable when it returns without an error. Run's goroutine and those of the
// work call it at the same time, but Commit only one, and one after the other.
type Journal interface {
	Record() journal.Record
	Update(func(*journal.Record)) (journal.Record, error)
	// Replace is Update with a checkpoint that becomes the only one.
	Replace(journal.Checkpoint, func(*journal.Record)) (journal.Record, error)
	Commit(journal.Checkpoint) error
	Rewind(journal.Checkpoint) error
	Checkpoints() []journal.Checkpoint
	// Scrub overwrites what the journal's file still holds of earlier URLs.
	Scrub() error
}

// StateDir is the directory of partial files and published packages. An error of
// Writable or Publish that has a method Replaced() bool, which returns true, ends
// Run: the directory is not the one at its path any more. Run's
// goroutine and the goroutine of the work call it at the same time, but for the
// same name one after the other; Free and Writable may be called by anyone.
type StateDir interface {
	// OpenPartial opens the partial file of the package name, and makes it when
	// there is none. Its directory entry is durable when OpenPartial returns.
	OpenPartial(name string) (Partial, error)
	// RemovePartial deletes the partial file durably; none there is no error.
	RemovePartial(name string) error
	// Published opens the package under its final name; fs.ErrNotExist when
	// there is none.
	Published(name string) (Published, error)
	// RemovePublished deletes the package of that name durably, if isIt returns
	// true for the file, and reports whether it did.
	RemovePublished(name string, isIt func(fs.FileInfo) bool) (removed bool, err error)
	// Writable returns an error when files are known not to be writable.
	Writable() error
	// Free returns how many bytes the file system has for otad.
	Free() (int64, error)
}

// Partial is the package while it is being fetched. One goroutine at a time uses
// it.
type Partial interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	// Reserve makes sure that size bytes fit and minFree bytes stay free.
	Reserve(size, minFree int64) error
	// Sync makes every byte written before it durable. Its error is final: what
	// the page cache holds afterwards is unknown.
	Sync() error
	// DropCache makes the next reads come from the medium.
	DropCache() error
	// Publish gives the package, of which every byte is there, its final name,
	// durably.
	Publish(size int64) error
	Close() error
}

// Doubter is what a Partial also is that can be whole already, as a package on a
// device is after Ready.
type Doubter interface {
	// Doubtful reports whether the whole package may have been written over, so
	// that the digest of all its bytes has to be compared.
	Doubtful() bool
	// Trust notes that it was compared, durably.
	Trust() error
}

// Published is a package under its final name.
type Published interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// Source opens packages at their origin. Run's goroutine calls CheckURL, the
// goroutine of the work Open.
type Source interface {
	// CheckURL returns why the source would refuse the URL, or nil. Its text
	// holds no secret of the URL.
	CheckURL(url string) error
	// Open returns the bytes from an offset on. Its error is a *netio.Error, or
	// ctx's.
	Open(context.Context, netio.Request) (Body, error)
}

// Body is the rest of a package, being read. Read returns io.EOF when the
// package is whole and the answer ended with it; any other error is a
// *netio.Error, or that of the context that Open was given.
type Body interface {
	io.ReadCloser
	// Info describes the answer. It does not change.
	Info() netio.BodyInfo
	// Discarded returns how many bytes were received and dropped.
	Discarded() int64
}

// SourceOf returns s as a Source: it converts the type of body that s opens, as
// *netio.Fetcher does.
func SourceOf[B Body](s interface {
	CheckURL(url string) error
	Open(context.Context, netio.Request) (B, error)
}) Source {
	return source[B]{check: s.CheckURL, open: s.Open}
}

type source[B Body] struct {
	check func(string) error
	open  func(context.Context, netio.Request) (B, error)
}

func (s source[B]) CheckURL(url string) error { return s.check(url) }

func (s source[B]) Open(ctx context.Context, r netio.Request) (Body, error) {
	body, err := s.open(ctx, r)
	if err != nil {
		return nil, err // and not a Body around a nil pointer
	}
	return body, nil
}

// Deps are the parts that the machine works with. All are required.
type Deps struct {
	Journal  Journal
	StateDir StateDir
	Source   Source
	Metrics  *metrics.Metrics
	Log      *slog.Logger
}

// Config is how the machine works on a job.
type Config struct {
	Checkpoint  int64         // bytes between two checkpoints; at least 1
	Retries     int           // failures in a row without progress that are tried again
	NetworkWait time.Duration // longest wait for a network; it costs no retries
	TryAgain    TryAgain      // how a failed job is started again by itself
	Flush       time.Duration // longest time of transfer between two checkpoints; 0: they count bytes only
	Held        func() bool   // no request is made while it returns true; any goroutine; nil: never
	MinFree     int64         // bytes to leave free on the file system
	MaxSize     int64         // most bytes of a package whose job has no size; 0: any
	Keep        int           // packages of earlier jobs that stay although there is no room; KeepAll: every one
	Readback    bool          // Verifying reads the file from the medium once more
	// Trust returns which packages are taken at this moment; any goroutine; nil: all.
	Trust              func() signature.Trust
	KeepOutbox         bool           // transitions go into the journal's outbox
	HandOff            bool           // an installer is at work, see [Updater.SetInstall]
	FailOnJournalError bool           // Run returns the error when the journal cannot be written, instead of trying again
	OnChange           func(Snapshot) // called after every transition and checkpoint; must not block; nil: nobody
	Pulse              func()         // called by Run's goroutine at each of its turns and at least every PulseEvery; nil: never
	PulseEvery         time.Duration  // at least 1 with Pulse
	Jitter             func() float64 // in [0,1), spreads waiting times; nil: math/rand/v2
	// AllocBuffer returns the memory of a transfer's blocks and the function
	// that frees it; nil: the heap's.
	AllocBuffer func(size int) (memory []byte, free func())
	// Uptime returns how long the board has run since Boot, suspended time
	// included, and Boot names that boot. Any goroutine may call it. Without
	// either they are those of this process.
	Uptime func() time.Duration
	Boot   string
}
