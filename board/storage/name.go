package storage

import (
	"errors"
	"fmt"
	"strings"
)

// ErrName means that a name is not one that a package file may have.
var ErrName = errors.New("storage: not a plain file name")

var errNotRegular = errors.New("not a regular file")

const (
	partSuffix    = ".part"    // of a package that is not complete
	journalPrefix = "journal." // of the journal's files, which live in the same directory
	maxName       = 128        // bytes; with the suffix well below the 255 of every file system
)

// checkName is the last guard in front of the file system, whatever the layers
// above have checked: one path element, not hidden, and not the name of
// something else in the state directory. FAT folds case, so the comparison does.
func checkName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("%w: %d bytes long, 1 to %d are allowed", ErrName, len(name), maxName)
	case name[0] == '.' || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: %q", ErrName, name)
	case strings.HasPrefix(lower, journalPrefix) || strings.HasSuffix(lower, partSuffix):
		return fmt.Errorf("%w: %q is kept for otad itself", ErrName, name)
	}
	return nil
}
