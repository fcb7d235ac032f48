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
)

// openRegular opens a regular file. It does not follow a symbolic link and does
// not block on a pipe.
func openRegular(path string, flag int, o Options) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, damaged("not a file but %s", info.Mode())
	}
	f, err := o.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, fileMode)
	if unreadable(err) {
		return nil, damaged("%v", err)
	}
	return f, err
}

// readAndCheck reads the journal. It tries again after a read error: a
// transient error of the medium must not cost a download. Before each further
// attempt it drops the file from the page cache, which may differ from the
// medium after a sync that failed.
func readAndCheck(dir string, f *os.File) (img *image, now *contents, err error) {
	for range readAttempts {
		if img, now, err = readOnce(dir, f); !unreadable(err) {
			return img, now, err
		}
		time.Sleep(readPause)
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	return nil, nil, damaged("%v", err)
}

func readOnce(dir string, f *os.File) (*image, *contents, error) {
	if err := syncFile(dir, f); err != nil {
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
func syncFile(dir string, f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(dir)
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
