package journal

import "os"

const (
	corruptName    = FileName + ".corrupt"
	markerName     = "journal.opening"
	maxFailedOpens = 3
)

// setAside moves the file in the journal's place to journal.db.corrupt, in
// place of an earlier one. A crash in the middle leaves no journal, or the
// damaged one; the next start handles either.
func setAside(d directory) error {
	if err := d.remove(corruptName); err != nil {
		return err
	}
	if err := d.rename(FileName, corruptName); err != nil {
		return err
	}
	if err := d.remove(markerName); err != nil {
		return err
	}
	return d.sync()
}

// hide keeps other users from a file that may hold a URL. FAT has no modes.
func (d directory) hide(name string) {
	st, err := d.stat(name)
	if err != nil || !isRegular(st) || st.Mode&0o777 == fileMode {
		return
	}
	if f, err := openAt(d.file, name, openRead, 0); err == nil {
		_ = f.Chmod(fileMode)
		f.Close()
	}
}

// markOpening appends one byte to journal.opening before bbolt opens the file;
// clearOpening deletes it. Three bytes mean that three starts in a row ended
// inside bbolt, and a new file is then made of what the old one holds.
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
func markOpening(d directory) error {
	if _, err := failedOpens(d); err != nil {
		return err
	}
	flag := os.O_WRONLY | os.O_APPEND
	if !d.exists(markerName) {
		flag |= os.O_CREATE | os.O_EXCL
	}
	f, err := openAt(d.file, markerName, flag|openSafely, fileMode)
	if err != nil {
		return nil
	}
	defer f.Close()
	_, _ = f.Write([]byte{'.'})
	return nil
}

// failedOpens returns how many starts in a row have ended inside bbolt. It
// removes a marker that otad has not made.
func failedOpens(d directory) (int64, error) {
	st, err := d.stat(markerName)
	switch {
	case err != nil:
		return 0, nil
	case !isRegular(st) || st.Nlink != 1 || d.owned(st, markerName) != nil:
		return 0, d.remove(markerName)
	}
	return st.Size, nil
}

func clearOpening(d directory) { _ = d.remove(markerName) }
