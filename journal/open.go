package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	SetAside Result = "set_aside" // unreadable, moved to journal.db.corrupt; a new one was made
)

// Recovery is a Result and, for Newer and SetAside, the reason.
type Recovery struct {
	Result Result
	Reason string
}

// Open opens the journal in dir. It creates a missing journal and sets aside
// one that cannot be read; [Journal.Recovery] returns which. The caller holds a
// lock on the directory, so that no other otad moves files there. The error
// matches [ErrLocked] or [ErrUnusable].
func Open(dir string, o Options) (*Journal, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.OpenFile == nil {
		o.OpenFile = os.OpenFile
	}
	j, err := open(dir, o)
	found := Recovery{Result: Clean}
	switch {
	case err == nil && j.published.Load().newer != "":
		found = Recovery{Result: Newer, Reason: j.published.Load().newer}
	case isDamage(err):
		found = Recovery{Result: SetAside, Reason: err.Error()}
		if o.BeforeQuarantine != nil {
			if err := o.BeforeQuarantine(); err != nil {
				return nil, openError(dir, err)
			}
		}
		if err = setAside(dir); err == nil {
			j, err = createAndOpen(dir, o)
		}
	case errors.Is(err, fs.ErrNotExist):
		found = Recovery{Result: Created}
		j, err = createAndOpen(dir, o)
	}
	if err != nil {
		return nil, openError(dir, err)
	}
	j.recovery = found
	return j, nil
}

func createAndOpen(dir string, o Options) (*Journal, error) {
	err := create(dir, o)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// Delete the journal that was set aside to make space.
		if err = os.RemoveAll(filepath.Join(dir, corruptName)); err == nil {
			err = create(dir, o)
		}
	}
	if err != nil {
		return nil, err
	}
	return open(dir, o)
}

// open opens an existing journal. It passes the open file that it has locked
// and checked to bbolt, so bbolt cannot get another file. A *damageError means
// that the file is no journal.
func open(dir string, o Options) (_ *Journal, err error) {
	path := filepath.Join(dir, FileName)
	f, err := openRegular(path, os.O_RDWR, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close() // a second time if bbolt has closed it
		}
	}()
	if err := lock(f, o.LockTimeout); err != nil {
		return nil, err
	}
	img, now, err := readAndCheck(dir, f)
	if err != nil {
		return nil, err
	}
	db, err := openBolt(dir, f, img)
	if err != nil {
		return nil, err
	}
	j := &Journal{onCommit: o.OnCommit, file: f, db: db}
	if len(now.checkpoints) > 0 {
		j.seq = now.checkpoints[0].Seq
	}
	j.published.Store(now)
	return j, nil
}

// lock takes the lock that bbolt will take, before the file is read.
//
// The caller's lock on the directory keeps other otads out, but not a program
// that locks the file alone, such as the bbolt command. Without this lock the
// file could be read in the middle of that program's commit, look damaged and
// be set aside, and the download with it.
func lock(f *os.File, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return os.NewSyscallError("flock", err)
		case time.Now().After(deadline):
			return ErrLocked
		default:
			time.Sleep(lockPoll)
		}
	}
}

// openBolt opens a verified file with bbolt and checks that bbolt reads the
// same content as verify. bbolt then owns f.
func openBolt(dir string, f *os.File, want *image) (db *bolt.DB, err error) {
	if err := markOpening(dir); err != nil {
		return nil, err
	}
	defer clearOpening(dir)
	given := func(string, int, os.FileMode) (*os.File, error) { return f, nil }
	var got *image
	err = catchFaults(func() error {
		if db, err = bolt.Open(f.Name(), fileMode, boltOptions(given)); err != nil {
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

func boltOptions(open func(string, int, os.FileMode) (*os.File, error)) *bolt.Options {
	return &bolt.Options{
		// Not the kernel's page size, which may be 64 KiB: each commit writes
		// three pages.
		PageSize:     pageSize,
		Timeout:      defaultLockTimeout,
		FreelistType: bolt.FreelistArrayType,
		NoStatistics: true,
		OpenFile:     open,
	}
}
