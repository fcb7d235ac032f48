package fsm

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// Journal is what the machine needs of *journal.Journal. Whatever it was told
// is durable when the call returns without an error.
type Journal interface {
	Record() journal.Record
	Update(func(*journal.Record)) (journal.Record, error)
	Commit(journal.Checkpoint) error
	Rewind(journal.Checkpoint) error
	Checkpoints() []journal.Checkpoint
}

// StateDir is the state directory: where partial files are kept and packages are
// published.
type StateDir interface {
	// OpenPartial opens NAME.part, and makes it when there is none; its
	// directory entry is durable when it returns.
	OpenPartial(name string) (Partial, error)
	// RemovePartial deletes NAME.part durably; none there is no error.
	RemovePartial(name string) error
	// Published opens the package under its final name; fs.ErrNotExist when
	// there is none.
	Published(name string) (Published, error)
	// Writable is nil as long as nothing is known that keeps files from being
	// written.
	Writable() error
	// Free is how many bytes the file system has for otad.
	Free() (int64, error)
}

// Partial is the package while it is being fetched.
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
	// Publish gives the file its final name, durably.
	Publish() error
	Close() error
}

// Published is a package under its final name.
type Published interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// Source opens the origin's bytes from an offset on. *netio.Fetcher is one.
type Source interface {
	Open(context.Context, netio.Request) (*netio.Body, error)
}

// Deps are the rooms that the machine works with. All are required.
type Deps struct {
	Journal  Journal
	StateDir StateDir
	Source   Source
	Metrics  *metrics.Metrics
	Log      *slog.Logger
}

// Config is how the machine goes about a job.
type Config struct {
	Checkpoint         int64          // bytes between two checkpoints; at least 1
	Retries            int            // failures in a row without progress that are tried again
	NetworkWait        time.Duration  // how long no network at all is waited for without spending retries
	MinFree            int64          // bytes of the file system that are left alone
	AllowHTTP          bool           // http to hosts other than loopback
	Readback           bool           // Verifying reads the file from the medium once more
	KeepOutbox         bool           // transitions go into the journal's outbox
	FailOnJournalError bool           // Run ends by the error when the journal cannot be written, instead of trying again
	OnChange           func(Snapshot) // told after every transition and checkpoint; must not block; nil: nobody
	Jitter             func() float64 // in [0,1), spreads waiting times; nil: math/rand/v2
	// AllocBuffer gives the blocks of a transfer, and what takes them back; nil: the
	// heap's.
	AllocBuffer func(size int) (memory []byte, free func())
}
