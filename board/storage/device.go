package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// headSize is how many bytes at the beginning of a device hold what mount(8),
// blkid(8) and boot loaders recognize an image by.
const headSize = 1 << 20

// device is a block device that is open for this process alone, or a plain file
// that stands for one. One goroutine at a time uses it.
type device struct {
	path  string
	file  *Partial // its reads, writes and syncs are those of any file
	size  int64    // bytes
	block int64    // bytes that the device writes at once: those of a logical block
	id    deviceID
}

// UnfitError means that a path is none that a package can be written to: no such
// file, a directory, another kind of file, or a device that is in use.
type UnfitError struct {
	Path    string
	Problem string // completes a sentence that begins with the path
	Err     error  // of the operating system; may be nil
}

// Error returns the path and the problem in one line.
func (e *UnfitError) Error() string { return e.Path + " " + e.Problem }

// Unwrap returns the cause, which may be nil.
func (e *UnfitError) Unwrap() error { return e.Err }

// openDevice opens the device at path. It creates nothing and writes nothing. A
// device that is mounted, swapped to or used by another device is refused by the
// kernel (open(2), O_EXCL) and stays closed to all of them while it is open here.
// A plain file is locked instead, by flock(2).
func (d *StateDir) openDevice(path string) (_ *device, err error) {
	var st unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Stat(path, &st) }); err != nil {
		return nil, &UnfitError{path, "cannot be opened: " + errnoText(err), err}
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFBLK && kind != unix.S_IFREG {
		return nil, &UnfitError{path, "is neither a block device nor a plain file", nil}
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, &UnfitError{path, "is in use: " + d.sys.system.holderOf(uint64(st.Rdev)), err}
	}
	if err != nil {
		return nil, &UnfitError{path, "cannot be opened for writing: " + errnoText(err), err}
	}
	v := &device{path: path, file: &Partial{dir: d, name: path, f: f}}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	var opened unix.Stat_t
	if err := d.fstat(f, &opened); err != nil {
		return nil, err
	}
	if opened.Dev != st.Dev || opened.Ino != st.Ino || opened.Rdev != st.Rdev {
		return nil, &UnfitError{path, "was replaced while it was opened", nil}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		if err := d.claimFile(path, f, &opened); err != nil {
			return nil, err
		}
	}
	if err := v.measure(&opened); err != nil {
		return nil, err
	}
	v.file.direct, err = openDeviceDirect(path, d, &opened)
	return v, err
}

// measure finds out size, block size and identity.
func (v *device) measure(st *unix.Stat_t) error {
	size, err := v.file.f.Seek(0, io.SeekEnd) // the size of a block device is not in its stat
	if err != nil {
		return fmt.Errorf("size of %s: %w", v.path, err)
	}
	v.size, v.block = size, 512
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		n, err := unix.IoctlGetInt(int(v.file.f.Fd()), unix.BLKSSZGET)
		if err != nil {
			return fmt.Errorf("block size of %s: %w", v.path, err)
		}
		v.block = int64(n)
	}
	v.id = v.file.dir.sys.system.identify(st, v.size)
	return nil
}

// claimFile locks a plain file, and refuses one that another program uses as a
// device, or one of the state directory itself.
func (d *StateDir) claimFile(path string, f *os.File, st *unix.Stat_t) error {
	if loop := d.sys.system.loopOf(st); loop != "" {
		return &UnfitError{path, "is in use: attached to " + loop, unix.EBUSY}
	}
	var parent, own unix.Stat_t
	err := ignoringEINTR(func() error { return unix.Stat(filepath.Dir(path), &parent) })
	if err == nil {
		err = d.fstat(d.dir, &own)
	}
	if err != nil {
		return err
	}
	if parent.Dev == own.Dev && parent.Ino == own.Ino {
		return &UnfitError{path, "is in the state directory, where otad's own files are", nil}
	}
	err = ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &UnfitError{path, "is in use: another program has locked it", unix.EBUSY}
	}
	return nil // a file system without locks has no other otad
}

// openDeviceDirect opens the device a second time, for direct reads and writes;
// nil where there are none.
func openDeviceDirect(path string, d *StateDir, is *unix.Stat_t) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		if isDirectRefusal(err) {
			return nil, nil
		}
		return nil, &UnfitError{path, "cannot be opened for writing: " + errnoText(err), err}
	}
	var st unix.Stat_t
	if err := d.fstat(f, &st); err != nil || st.Ino != is.Ino || st.Dev != is.Dev || st.Rdev != is.Rdev {
		f.Close()
		return nil, &UnfitError{path, "was replaced while it was opened", err}
	}
	return f, nil
}

func (v *device) close() error { return v.file.Close() }

// errnoText returns what the operating system says, without the path again.
func errnoText(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return err.Error() + adviceOn(err)
}

// adviceOn returns what a sandbox or a user without privileges has to do with the
// error of opening a device: board/init/installers/otad-install.conf.
func adviceOn(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return " (hidden from otad? PrivateDevices= of its unit)"
	case errors.Is(err, unix.EACCES):
		return " (does it belong to otad's group?)"
	case errors.Is(err, unix.EPERM):
		return " (is it in DeviceAllow= of otad's unit?)"
	}
	return ""
}
