package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Identity returns a text that is the same for each way to name the directory,
// through links and bind mounts, and differs from that of any other directory of
// this board. It says nothing of the path. It is empty if the directory cannot be
// looked at.
func (d *StateDir) Identity() string {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.dir.Fd()), &st); err != nil {
		return ""
	}
	return identity(st)
}

// Identity is [StateDir.Identity] of the directory at path, which may be another
// process's. It needs no permission in the directory itself. If the directory is
// missing, the error matches fs.ErrNotExist.
func Identity(path string) (string, error) {
	var st unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Stat(path, &st) }); err != nil {
		return "", fmt.Errorf("state directory %s: %w", path, err)
	}
	return identity(st), nil
}

// identity is a hash, so that who reads it learns nothing of the file system.
func identity(st unix.Stat_t) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "otad state directory %d %d", uint64(st.Dev), uint64(st.Ino)))
	return hex.EncodeToString(sum[:8])
}

// InUse reports whether an otad runs on the directory at path: serve or fetch. It
// takes the lock that OpenStateDir takes, shared, for a moment; an otad that
// starts then tries again. Only otad's user and root may look.
func InUse(path string) (bool, error) {
	f, err := os.OpenFile(filepath.Join(path, LockName), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(path) // what is locked on a full disk
	}
	if err != nil {
		return false, fmt.Errorf("state directory %s: %w", path, err)
	}
	defer f.Close()
	err = ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("state directory %s: %w", path, err)
	}
	return false, nil
}
