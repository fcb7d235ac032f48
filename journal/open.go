package journal

import (
	"errors"
	"fmt"
	"io"
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
	maxFile            = 1 << 20
	looks              = 3 // at a medium that answers with errors
	lookPause          = 100 * time.Millisecond
)

// Result says how [Open] found the journal.
type Result string

// The results of Open.
const (
	Clean    Result = "clean"     // as it was left
	Created  Result = "created"   // there was none
	SetAside Result = "set_aside" // unreadable, moved to journal.db.corrupt; a new one was made
)

// Recovery is a Result and, for SetAside, what was wrong.
type Recovery struct {
	Result Result
	Reason string
}

// Open opens the journal in dir, making it when it is missing and setting it
// aside when it cannot be read; [Journal.Recovery] tells which. The caller holds
// a lock on the directory, so that nobody else moves files in it. The errors
// match [ErrLocked] or [ErrUnusable].
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
	case isDamage(err):
		found = Recovery{Result: SetAside, Reason: err.Error()}
		if o.BeforeQuarantine != nil {
			if err := o.BeforeQuarantine(); err != nil {
				return nil, explain(dir, err)
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
		return nil, explain(dir, err)
	}
	j.recovery = found
	return j, nil
}

func createAndOpen(dir string, o Options) (*Journal, error) {
	err := create(dir, o)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// A journal is worth more than the remains of one.
		if err = os.RemoveAll(filepath.Join(dir, corruptName)); err == nil {
			err = create(dir, o)
		}
	}
	if err != nil {
		return nil, err
	}
	return open(dir, o)
}

// open opens a journal that is there. It locks and checks the very file that
// bbolt then gets, so nothing can come between. A *damageError means that the
// file is no journal.
func open(dir string, o Options) (_ *Journal, err error) {
	path := filepath.Join(dir, FileName)
	f, err := openRegular(path, os.O_RDWR, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close() // once more than needed where bbolt has done it
		}
	}()
	if err := lock(f, o.LockTimeout); err != nil {
		return nil, err
	}
	img, now, err := examine(dir, f)
	if err != nil {
		return nil, err
	}
	db, err := openBolt(dir, f, img)
	if err != nil {
		return nil, err
	}
	j := &Journal{observe: o.OnCommit, file: f, db: db}
	if len(now.checkpoints) > 0 {
		j.seq = now.checkpoints[0].Seq
	}
	j.published.Store(now)
	return j, nil
}

// openRegular opens a file without following a link or waiting for a pipe.
func openRegular(path string, flag int, o Options) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, damaged("not a file but %s", info.Mode())
	}
	f, err := o.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, fileMode)
	if unreadable(err) {
		return nil, damaged("%v", err)
	}
	return f, err
}

// lock takes the lock that bbolt will take, before the file is read: another
// process in the middle of a commit would make it look damaged.
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

// examine reads the journal. A medium that hiccups once must not cost a download,
// so it is asked a few times, past what the page cache holds: after a sync that
// failed, that may be something else than the medium does.
func examine(dir string, f *os.File) (img *image, now *contents, err error) {
	for range looks {
		if img, now, err = examineOnce(dir, f); !unreadable(err) {
			return img, now, err
		}
		time.Sleep(lookPause)
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	return nil, nil, damaged("%v", err)
}

func examineOnce(dir string, f *os.File) (*image, *contents, error) {
	if err := settle(dir, f); err != nil {
		return nil, nil, err
	}
	file, err := read(f)
	if err != nil {
		return nil, nil, err
	}
	return understand(file)
}

// settle makes durable what is there, name and bytes. A process that was killed
// between a write and its sync leaves a file that reads as if the transaction
// had been made, and that a power cut can still take back. bbolt would write the
// next transaction over the pages of the one before; cut then, neither is left.
func settle(dir string, f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(dir)
}

// read returns the bytes of the file.
func read(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, damaged("%d bytes, more than %d", info.Size(), maxFile)
	}
	file := make([]byte, info.Size())
	n, err := f.ReadAt(file, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return file[:n], nil
}

// openBolt gives a verified file to bbolt and makes sure that bbolt sees in it
// what verify saw. f is bbolt's from then on.
func openBolt(dir string, f *os.File, want *image) (db *bolt.DB, err error) {
	if err := enter(dir); err != nil {
		return nil, err
	}
	defer leave(dir)
	given := func(string, int, os.FileMode) (*os.File, error) { return f, nil }
	var got *image
	err = shielded(func() error {
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
		err = errors.Join(err, shielded(db.Close))
	}
	if errno := unix.Errno(0); errors.As(err, &errno) && !unreadable(err) {
		return nil, fmt.Errorf("open with bbolt: %w", err)
	}
	return nil, damaged("%v", err)
}

func boltOptions(open func(string, int, os.FileMode) (*os.File, error)) *bolt.Options {
	return &bolt.Options{
		// Not the kernel's page size, which may be 64 KiB: each commit would
		// write three of those.
		PageSize:     pageSize,
		Timeout:      defaultLockTimeout,
		FreelistType: bolt.FreelistArrayType,
		NoStatistics: true,
		OpenFile:     open,
	}
}

// unreadable reports whether err is about the file and its medium rather than
// about what this process may do.
func unreadable(err error) bool {
	for _, errno := range []error{unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.ELOOP, unix.ENXIO, unix.EISDIR} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
