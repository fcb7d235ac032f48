package storage

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// ReplacedError means that the path of the state directory leads to another
// directory than the one that is open: something was mounted over it, or it was
// renamed or removed. What is written from now on is found by nobody, so the
// process should end; its next start opens the directory that is there then.
type ReplacedError struct {
	Path string // of the state directory
}

func (e *ReplacedError) Error() string {
	return fmt.Sprintf("state directory %s is not the one that otad has open: "+
		"it was mounted over, renamed or removed; otad has to be started again", e.Path)
}

// Replaced returns true. It is how a caller that does not know this type finds
// out what the error means.
func (*ReplacedError) Replaced() bool { return true }

// checkInPlace returns a [*ReplacedError] if the path leads to another directory,
// or to none. It returns nil if that cannot be found out.
func (d *StateDir) checkInPlace() error {
	var open, there unix.Stat_t
	if err := d.fstat(d.dir, &open); err != nil {
		return nil
	}
	err := ignoringEINTR(func() error { return unix.Stat(d.path, &there) })
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) ||
		err == nil && (open.Dev != there.Dev || open.Ino != there.Ino) {
		return &ReplacedError{d.path}
	}
	return nil
}
