package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	corruptName = FileName + ".corrupt"
	markerName  = "journal.opening"
	maxStrikes  = 3
)

// setAside moves whatever is in the journal's place to journal.db.corrupt, of
// which one is kept. A crash in the middle leaves no journal, or the bad one,
// and either is dealt with at the next start.
func setAside(dir string) error {
	corrupt := filepath.Join(dir, corruptName)
	if err := os.RemoveAll(corrupt); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, FileName), corrupt); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, markerName)); err != nil {
		return err
	}
	return syncDir(dir)
}

// enter notes that bbolt is about to get the file: one more byte in
// journal.opening, which leave removes. A marker of three bytes means that
// three starts in a row died in between, by a crash or a hang that somebody put
// an end to, and that a fourth would too.
//
// The bytes count, and they are not synced, so that a power cut in that window
// cannot cost the journal: the marker survives the death of a process, and is
// meant to, but hardly ever that of the board. It is no more than a belt to the
// braces of verify, so a disk too full for it is no reason to stop.
func enter(dir string) error {
	path := filepath.Join(dir, markerName)
	if info, err := os.Lstat(path); err == nil {
		switch {
		case !info.Mode().IsRegular():
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		case info.Size() >= maxStrikes:
			return damaged("%d starts in a row ended while it was being opened", maxStrikes)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil
	}
	defer f.Close()
	_, _ = f.Write([]byte{'.'})
	return nil
}

func leave(dir string) { _ = os.Remove(filepath.Join(dir, markerName)) }

// damageError says why a file cannot be the journal.
type damageError struct{ reason string }

func (e *damageError) Error() string { return e.reason }

func isDamage(err error) bool {
	var d *damageError
	return errors.As(err, &d)
}

func damaged(format string, args ...any) error {
	return &damageError{fmt.Sprintf(format, args...)}
}
