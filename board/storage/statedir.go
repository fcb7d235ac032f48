package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another process holds the state directory.
var ErrLocked = errors.New("storage: another otad holds the state directory")

// How long OpenStateDir waits for a predecessor that is still stopping, and how
// often it looks.
const (
	lockPatience = time.Second
	lockPoll     = 50 * time.Millisecond
)

// StateDir is the directory that holds everything otad keeps, locked for this
// process. Its methods may be called from any goroutine.
type StateDir struct {
	path string
	dir  *os.File // holds the lock; every name is resolved relative to it
	sys  syscalls
}

// OpenStateDir opens the directory at path and locks it. It makes nothing: a
// directory that is missing is more often a file system that is not mounted
// than one that was forgotten.
//
// The lock is a flock(2) on the directory itself. There is no lock file to be
// left behind, and the kernel drops the lock with the process, however that
// ends. A lock that is still held after one second is [ErrLocked]. Every error
// names the path and what to do about it.
func OpenStateDir(path string) (*StateDir, error) {
	dir, err := openDir(path)
	if err != nil {
		return nil, err
	}
	d := &StateDir{path: path, dir: dir, sys: linux()}
	if err := d.lock(); err != nil {
		dir.Close()
		return nil, err
	}
	if err := d.Writable(); err != nil {
		dir.Close()
		return nil, err
	}
	return d, nil
}

// Path is the directory as it was named to OpenStateDir.
func (d *StateDir) Path() string { return d.path }

// Close gives up the lock. Files opened through d stay usable.
func (d *StateDir) Close() error { return d.dir.Close() }

func openDir(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	switch {
	case err == nil:
		return dir, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("state directory %s is missing: mount or create it, or name another one: %w", path, unix.ENOENT)
	case errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("state directory %s is not a directory: name another one: %w", path, unix.ENOTDIR)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("state directory %s cannot be opened by user %d: change its owner or mode: %w", path, os.Geteuid(), unix.EACCES)
	default:
		return nil, fmt.Errorf("state directory %s: %w", path, err)
	}
}

// lock tries for a while, because an init system may start the next otad before
// the last one is gone.
func (d *StateDir) lock() error {
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPoll) {
		err := retry(func() error { return unix.Flock(int(d.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("state directory %s cannot be locked: use a local file system: %w", d.path, err)
		case !time.Now().Before(end):
			return fmt.Errorf("state directory %s: stop the other process or name another directory: %w", d.path, ErrLocked)
		}
	}
}

// Writable is nil when files can be written in the directory, as far as that can
// be told without writing. It asks the kernel instead of making a file for a try:
// nothing has to be cleaned up after a crash, flash is not written at each look,
// and access(2) sees what counts, modes as well as a read-only mount. What it may
// not see is an ext4 that has shut itself down for writing (since Linux 6.15).
func (d *StateDir) Writable() error {
	err := retry(func() error { return unix.Faccessat(int(d.dir.Fd()), ".", unix.R_OK|unix.W_OK|unix.X_OK, 0) })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("state directory %s is on a read-only file system: mount it read-write: %w", d.path, err)
	default:
		return fmt.Errorf("state directory %s cannot be written by user %d: change its owner or mode: %w", d.path, os.Geteuid(), err)
	}
}

// openAt opens a plain file of the directory. A symbolic link, a directory or a
// device under its name is refused: otad makes none, so it is somebody's trick
// or mistake.
func (d *StateDir) openAt(name string, flag int, perm uint32) (*os.File, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(int(d.dir.Fd()), name, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, perm)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(d.path, name), Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(d.path, name), Err: errors.Join(err, errNotRegular)}
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, name)), nil
}

// sync makes the names in the directory durable.
func (d *StateDir) sync() error {
	if err := retry(func() error { return d.sys.fsync(int(d.dir.Fd())) }); err != nil {
		return fmt.Errorf("sync directory %s: %w", d.path, err)
	}
	return nil
}
