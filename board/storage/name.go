package storage

import (
	"errors"
	"fmt"
	"strings"
)

// ErrName means that a package cannot have this name.
var ErrName = errors.New("storage: not a plain file name")

var errNotRegular = errors.New("not a regular file")

// These repeat the rule of journal.NameProblem on purpose: even a name that
// passed no check of a job must not leave the state directory or replace the
// journal.
const (
	partSuffix    = ".otad-part" // of a package that is not complete; no other program uses it
	earlierSuffix = ".part"      // the same, of earlier versions
	journalPrefix = "journal."   // of the journal's files, in the same directory
	maxName       = 128          // bytes; 138 with the suffix, and file systems take 143 (eCryptfs) to 255
)

// checkName accepts a name of one path element that is not hidden and not kept
// for another file of the state directory. It compares in lower case because
// FAT ignores case. It accepts every name that journal.NameProblem accepts, and
// those that a journal of an earlier version may hold; if it did not, there
// could be a job that has no file.
func checkName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("%w: %d bytes long, 1 to %d are allowed", ErrName, len(name), maxName)
	case name[0] == '.' || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: %q", ErrName, name)
	case strings.HasPrefix(lower, journalPrefix), strings.HasSuffix(lower, partSuffix), strings.HasSuffix(lower, earlierSuffix),
		strings.HasSuffix(lower, slotSuffix):
		return fmt.Errorf("%w: %q is kept for otad itself", ErrName, name)
	}
	return nil
}
