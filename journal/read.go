package journal

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxFile      = 1 << 20
	readAttempts = 3 // of a medium that returns errors
	readPause    = 100 * time.Millisecond

	openSafely = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	openRead   = os.O_RDONLY | openSafely
)

// openJournal opens the journal, if it is a regular file of a user that may own
// it, and returns how many names the file has.
func (d directory) openJournal(flag int) (f *os.File, names int, err error) {
	st, err := d.stat(FileName) // before the open, which can do something to a device
	if err != nil {
		return nil, 0, err
	}
	if !isRegular(st) {
		return nil, 0, damaged("not a regular file")
	}
	f, err = d.open(FileName, flag)
	if unreadable(err) {
		return nil, 0, damaged("%v", err)
	}
	if err != nil {
		return nil, 0, err
	}
	err = ignoringEINTR(func() error { return unix.Fstat(int(f.Fd()), &st) })
	if err == nil {
		err = d.owned(st, FileName)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, int(st.Nlink), nil
}

// readAndCheck reads the journal. It tries again after a read error: a
// transient error of the medium must not cost a download. Before each further
// attempt it drops the file from the page cache, which may differ from the
// medium after a sync that failed.
func readAndCheck(d directory, f *os.File) (img *image, now *contents, err error) {
	for range readAttempts {
		if img, now, err = readOnce(d, f); !unreadable(err) {
			return img, now, err
		}
		time.Sleep(readPause)
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	return nil, nil, damaged("%v", err)
}

func readOnce(d directory, f *os.File) (*image, *contents, error) {
	if err := syncFile(d, f); err != nil {
		return nil, nil, err
	}
	file, err := read(f)
	if err != nil {
		return nil, nil, err
	}
	return parse(file)
}

// syncFile makes the file and its name durable as they are. A process that was
// killed between a write and its sync leaves a file that reads as if the
// transaction were complete, but a power cut can still undo it. bbolt would
// write the next transaction over the pages of the one before, and a power cut
// could then leave neither.
func syncFile(d directory, f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return d.sync()
}

// read returns the bytes of the file.
func read(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, damaged("%d bytes, more than %d", info.Size(), maxFile)
	}
	file := make([]byte, info.Size())
	n, err := f.ReadAt(file, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return file[:n], nil
}

// unreadable reports whether err means a bad file or medium, and not a missing
// permission or a limit of this process.
func unreadable(err error) bool {
	for _, errno := range []error{unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.ELOOP, unix.ENXIO, unix.EISDIR} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
