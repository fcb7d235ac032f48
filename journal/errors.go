package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Errors of [Open].
var (
	// ErrLocked means that another process has the journal open.
	ErrLocked = errors.New("journal: in use by another process")
	// ErrUnusable means that no journal can be kept in that directory, or that
	// bbolt failed in a way after which this Journal can write no more. In the
	// second case close the journal and open it again.
	ErrUnusable = errors.New("journal: unusable")
)

var errClosed = errors.New("journal: closed")

// openError returns the error of Open for err: where, what to do, and err.
func openError(dir string, err error) error {
	if errors.Is(err, ErrLocked) {
		return fmt.Errorf("%w: %s", ErrLocked, filepath.Join(dir, FileName))
	}
	return fmt.Errorf("%w in %s: %s: %w", ErrUnusable, dir, hint(err), err)
}

// hint returns what the user can do about err.
func hint(err error) string {
	for _, h := range []struct {
		err  error
		hint string
	}{
		{fs.ErrNotExist, "create the directory"},
		{unix.ENOTDIR, "choose a directory"},
		{errForeign, "give the file to the user that runs this program (chown), or delete it"},
		{fs.ErrPermission, "let the user that runs this program write there"},
		{unix.EROFS, "the file system is read-only, remount it or choose another directory"},
		{unix.ENOSPC, "the file system is full, 64 KiB are needed"},
		{unix.EDQUOT, "the quota is used up, 64 KiB are needed"},
		{unix.ENOLCK, noLocks},
		{unix.EOPNOTSUPP, noLocks},
		{unix.EINVAL, noMaps},
		{unix.ENODEV, noMaps},
	} {
		if errors.Is(err, h.err) {
			return h.hint
		}
	}
	return "check the file system"
}

const (
	noLocks = "its file system has no locks, choose a local one"
	noMaps  = "its file system cannot map files into memory (JFFS2 cannot), choose a directory on ext4, F2FS or UBIFS"
)

// damageError is the reason why a file cannot be the journal.
type damageError struct{ reason string }

func (e *damageError) Error() string { return e.reason }

func isDamage(err error) bool {
	var d *damageError
	return errors.As(err, &d)
}

func damaged(format string, args ...any) error {
	return &damageError{fmt.Sprintf(format, args...)}
}
