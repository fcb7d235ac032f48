package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// explain makes the error of Open out of whatever stood in the way.
func explain(dir string, err error) error {
	if errors.Is(err, ErrLocked) {
		return fmt.Errorf("%w: %s", ErrLocked, filepath.Join(dir, FileName))
	}
	return fmt.Errorf("%w in %s: %s: %w", ErrUnusable, dir, mend(err), err)
}

// mend says what to do about err.
func mend(err error) string {
	for _, m := range []struct {
		err  error
		mend string
	}{
		{fs.ErrNotExist, "create the directory"},
		{unix.ENOTDIR, "choose a directory"},
		{fs.ErrPermission, "let the user that runs this program write there"},
		{unix.EROFS, "the file system is read-only, remount it or choose another directory"},
		{unix.ENOSPC, "the file system is full, 64 KiB are needed"},
		{unix.EDQUOT, "the quota is used up, 64 KiB are needed"},
		{unix.ENOLCK, noLock},
		{unix.EOPNOTSUPP, noLock},
		{unix.EINVAL, noMap},
		{unix.ENODEV, noMap},
	} {
		if errors.Is(err, m.err) {
			return m.mend
		}
	}
	return "check the file system"
}

const noLock = "its file system has no locks, choose a local one"

const noMap = "its file system cannot map files into memory (JFFS2 cannot), choose a directory on ext4, F2FS or UBIFS"
