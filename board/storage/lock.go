package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another process holds the state directory.
var ErrLocked = errors.New("storage: another otad holds the state directory")

// LockName is the file in the state directory that a running otad locks. It stays
// there. Its prefix keeps packages from having the name.
const LockName = journalPrefix + "lock"

// How long OpenStateDir waits for a predecessor that is still stopping, and how
// often it tries.
const (
	lockTimeout      = time.Second
	lockPollInterval = 50 * time.Millisecond
)

// lock takes the lock of the directory, a flock(2) on a file that nobody but
// otad's user can open: a lock that others can take would let them stop otad.
// The kernel releases it when the process ends or is killed. The file stays.
//
// Earlier versions locked the directory itself, which any user can, so that lock
// is not looked at. What keeps an earlier otad and this one apart is the lock on
// the journal's own file, which both take before they change anything else.
func (d *StateDir) lock() error {
	f, err := d.openLock()
	if err != nil {
		return err
	}
	for end := time.Now().Add(lockTimeout); ; time.Sleep(lockPollInterval) {
		err := ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
		if err == nil {
			d.locked = f
			return nil
		}
		switch {
		case !errors.Is(err, unix.EWOULDBLOCK):
			err = fmt.Errorf("state directory %s cannot be locked: use a local file system: %w", d.path, err)
		case time.Now().Before(end):
			continue
		default:
			err = fmt.Errorf("state directory %s: stop the other process or name another directory: %w", d.path, ErrLocked)
		}
		f.Close()
		return err
	}
}

// openLock opens the file to lock, and makes it where there is none. Without
// space for it, it opens the directory: a full disk must not keep otad from
// starting, because otad is what frees it.
func (d *StateDir) openLock() (*os.File, error) {
	f, err := d.openOwn(LockName)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return d.openAgain()
	case isForeign(err):
		return nil, fmt.Errorf("state directory %s: remove %s: %w", d.path, filepath.Join(d.path, LockName), err)
	case err != nil:
		return nil, fmt.Errorf("state directory %s: %w", d.path, err)
	}
	if st, err := f.Stat(); err == nil && st.Mode().Perm() != 0o600 {
		_ = f.Chmod(0o600) // FAT has no modes
	}
	return f, nil
}

// openAgain opens the directory once more: the locks of two descriptors that are
// opened apart exclude each other.
func (d *StateDir) openAgain() (*os.File, error) {
	fd := -1
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Openat(int(d.dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", d.path, err)
	}
	return os.NewFile(uintptr(fd), d.path), nil
}
