package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	defaultLockTimeout = time.Second
	lockPoll           = 20 * time.Millisecond
	fileMode           = 0o600 // the URL in it may carry a signature
)

// Result is how [Open] found the journal.
type Result string

// The results of Open.
const (
	Clean    Result = "clean"     // readable
	Created  Result = "created"   // there was none
	Newer    Result = "newer"     // written by a newer otad, readable as far as [RecordVersion] says
	Rebuilt  Result = "rebuilt"   // readable, but bbolt could not use the file; a new file has the same content
	SetAside Result = "set_aside" // unreadable, moved to journal.db.corrupt; a new one was made
)

// Recovery is a Result and, for Newer, Rebuilt and SetAside, the reason.
type Recovery struct {
	Result Result
	Reason string
}

// Open opens the journal in the directory dir, which stays the caller's and open
// for as long as the journal. Open creates a missing journal and sets aside one
// that cannot be read; [Journal.Recovery] returns which. The caller holds a lock
// on the directory, so that no other otad moves files there. The error matches
// [ErrLocked] or [ErrUnusable].
func Open(dir *os.File, o Options) (*Journal, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.OpenFile == nil {
		o.OpenFile = openAt
	}
	d := directory{dir, o.OpenFile}
	j, found, err := open(d, o)
	switch {
	case isDamage(err):
		found = Recovery{Result: SetAside, Reason: err.Error()}
		if o.BeforeQuarantine != nil {
			if err := o.BeforeQuarantine(); err != nil {
				return nil, openError(dir.Name(), err)
			}
		}
		if err = setAside(d); err == nil {
			j, err = createAndOpen(d, o)
		}
	case errors.Is(err, fs.ErrNotExist):
		found = Recovery{Result: Created}
		j, err = createAndOpen(d, o)
	}
	if err != nil {
		return nil, openError(dir.Name(), err)
	}
	j.recovery = found
	return j, nil
}

func createAndOpen(d directory, o Options) (*Journal, error) {
	img, err := emptyImage()
	if err == nil {
		err = create(d, img)
	}
	if err != nil {
		return nil, err
	}
	j, _, err := open(d, o)
	return j, err
}

// open opens an existing journal. A *damageError means that the file is no
// journal.
//
// What holds is not given up. If bbolt cannot open a file that was read, or did
// not return from it three times, a new file is made of what was read. So it is
// with a file that has a second name: bbolt would write to that one too. Only if
// bbolt cannot open the new file either, the error is a *damageError.
func open(d directory, o Options) (*Journal, Recovery, error) {
	c, err := readJournal(d, o)
	if err != nil {
		return nil, Recovery{}, err
	}
	defer c.close()
	suspect, mustCopy, err := c.suspect(d)
	if err != nil {
		return nil, Recovery{}, err
	}
	if suspect == "" {
		j, err := c.start(d, o)
		if !isDamage(err) {
			return j, c.recovery(), err
		}
		suspect, mustCopy = err.Error(), true
	}
	err = create(d, c.img)
	if isFull(err) && !mustCopy {
		if j, startErr := c.start(d, o); startErr == nil {
			return j, c.recovery(), nil // as it is: it holds
		}
	}
	if err != nil {
		return nil, Recovery{}, err
	}
	made, err := readJournal(d, o)
	if err != nil {
		return nil, Recovery{}, err
	}
	defer made.close()
	j, err := made.start(d, o)
	return j, Recovery{Result: Rebuilt, Reason: suspect}, err
}

// openBolt opens a verified file with bbolt and checks that bbolt reads the
// same content as verify. bbolt then owns f.
func openBolt(d directory, f *os.File, want *image) (db *bolt.DB, err error) {
	if err := markOpening(d); err != nil {
		return nil, err
	}
	defer clearOpening(d)
	var got *image
	err = catchFaults(func() error {
		if db, err = bolt.Open(f.Name(), fileMode, boltOptions(f)); err != nil {
			return err
		}
		got, err = load(db)
		return err
	})
	if err == nil && !got.equal(want) {
		err = damaged("bbolt reads something else than is written")
	}
	if err == nil {
		return db, nil
	}
	fault := (*faultError)(nil)
	if db != nil && !errors.As(err, &fault) {
		err = errors.Join(err, catchFaults(db.Close))
	}
	if errno := unix.Errno(0); errors.As(err, &errno) && !unreadable(err) {
		return nil, fmt.Errorf("open with bbolt: %w", err)
	}
	return nil, damaged("%v", err)
}

// boltOptions returns the options with which bbolt opens f, whatever its name.
func boltOptions(f *os.File) *bolt.Options {
	return &bolt.Options{
		// Not the kernel's page size, which may be 64 KiB: each commit writes
		// three pages.
		PageSize:     pageSize,
		Timeout:      defaultLockTimeout,
		FreelistType: bolt.FreelistArrayType,
		NoStatistics: true,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	}
}
