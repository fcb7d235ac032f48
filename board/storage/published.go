package storage

import (
	"errors"
	"io/fs"
)

// RemovePublished deletes the package of that name durably, if isIt returns true
// for the file. It returns false when it is another file, or when there is none.
// A name that a package cannot have is [ErrName]. RemovePublished may be called
// from any goroutine.
func (d *StateDir) RemovePublished(name string, isIt func(fs.FileInfo) bool) (removed bool, err error) {
	f, err := d.Published(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !isIt(info) {
		return false, err
	}
	if err := d.unlink(name); err != nil {
		return false, err
	}
	// A crash here leaves the package whole or gone, never something between.
	return true, d.sync()
}
