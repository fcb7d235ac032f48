package journal

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	corruptName    = FileName + ".corrupt"
	markerName     = "journal.opening"
	maxFailedOpens = 3
)

// setAside moves the file in the journal's place to journal.db.corrupt, in
// place of an earlier one. A crash in the middle leaves no journal, or the
// damaged one; the next start handles either.
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

// markOpening appends one byte to journal.opening before bbolt opens the file;
// clearOpening deletes it. Three bytes mean that three starts in a row ended
// inside bbolt, and the journal is then treated as damaged.
//
// The marker is for what verify cannot see and catchFaults cannot catch in a
// file that passed verify: a fatal error of the Go runtime in bbolt, or a page
// that a broken medium never delivers to the mapping, until a watchdog kills
// the process. Without the marker the init system would start otad on the same
// file for ever.
//
// The marker is not synced: it must survive a crash of the process, and a power
// cut must not count as one. If it cannot be written, on a full disk for
// example, opening goes on.
func markOpening(dir string) error {
	path := filepath.Join(dir, markerName)
	if info, err := os.Lstat(path); err == nil {
		switch {
		case !info.Mode().IsRegular():
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		case info.Size() >= maxFailedOpens:
			return damaged("%d starts in a row ended while it was being opened", maxFailedOpens)
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

func clearOpening(dir string) { _ = os.Remove(filepath.Join(dir, markerName)) }
