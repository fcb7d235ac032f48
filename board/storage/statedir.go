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
// often it tries.
const (
	lockTimeout      = time.Second
	lockPollInterval = 50 * time.Millisecond
)

// StateDir is the directory that holds everything otad keeps, locked for this
// process. Its methods may be called from any goroutine; only Close must come
// after all other calls.
type StateDir struct {
	path string
	dir  *os.File // holds the lock; every name is resolved relative to it
	sys  syscalls
}

// OpenStateDir opens the directory at path and locks it. It does not create
// the directory: if it is missing, a file system is more likely not mounted
// than the directory forgotten.
//
// The lock is a flock(2) on the directory itself. There is no lock file that a
// crash could leave behind: the kernel releases the lock when the process ends
// or is killed. If the lock is still held after one second, the error
// matches [ErrLocked]. Every error names the path and what to do about it.
// OpenStateDir may be called from any goroutine.
func OpenStateDir(path string) (*StateDir, error) {
	dir, err := openDir(path)
	if err != nil {
		return nil, err
	}
	d := &StateDir{path: path, dir: dir, sys: linuxSyscalls()}
	err = d.lock()
	if err == nil {
		err = d.Writable()
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return d, nil
}

// Path returns the path that OpenStateDir was called with.
func (d *StateDir) Path() string { return d.path }

// Dir returns the open directory. It stays open until Close, and the caller does
// not close it.
func (d *StateDir) Dir() *os.File { return d.dir }

// Close releases the lock. Files opened through d can still be read and
// written, but no longer published.
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

// lock tries for up to lockTimeout, because an init system may start the next
// otad before the last one has ended.
func (d *StateDir) lock() error {
	for end := time.Now().Add(lockTimeout); ; time.Sleep(lockPollInterval) {
		err := ignoringEINTR(func() error {
			return unix.Flock(int(d.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		})
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

// Writable returns nil if files can be written in the directory, as far as
// access(2) can find out: it checks modes and read-only mounts. Unlike a test
// file it leaves nothing behind after a crash and does not write to flash at
// each call. It may miss an ext4 that has shut itself down for writing (since
// Linux 6.15).
func (d *StateDir) Writable() error {
	err := ignoringEINTR(func() error {
		return unix.Faccessat(int(d.dir.Fd()), ".", unix.R_OK|unix.W_OK|unix.X_OK, 0)
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("state directory %s is on a read-only file system: mount it read-write: %w", d.path, err)
	default:
		return fmt.Errorf("state directory %s cannot be written by user %d: change its owner or mode: %w", d.path, os.Geteuid(), err)
	}
}

// openAt opens a regular file of the directory. It refuses a symbolic link, a
// directory or a device: otad makes none under these names, so following one
// could read or overwrite a file outside the state directory. O_NONBLOCK keeps
// the open of a named pipe from waiting for its other end.
func (d *StateDir) openAt(name string, flag int, perm uint32) (*os.File, error) {
	flag |= unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	path := filepath.Join(d.path, name)
	fd := -1
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Openat(int(d.dir.Fd()), name, flag, perm)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.Join(err, errNotRegular)}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// sync makes the names in the directory durable.
//
// It takes EINVAL for success. The kernel returns it when the file system has
// no fsync operation for directories: SMB before Linux 4.17, VirtualBox shared
// folders, 9P except 9P2000.L. There a name cannot be made more durable than it
// is, and an error would only keep otad from running. Every other error counts,
// and for a file EINVAL does too.
func (d *StateDir) sync() error {
	err := ignoringEINTR(func() error { return d.sys.fsync(int(d.dir.Fd())) })
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("sync directory %s: %w", d.path, err)
	}
	return nil
}
