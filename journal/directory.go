package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// directory is the state directory. Every name is looked up in its descriptor:
// all files of the journal are in one directory, whatever becomes of the path.
// No symbolic link is followed.
type directory struct {
	file     *os.File // the caller's, open as long as the journal
	openFile func(dir *os.File, name string, flag int, perm os.FileMode) (*os.File, error)
}

func (d directory) fd() int { return int(d.file.Fd()) }

func (d directory) path(name string) string { return filepath.Join(d.file.Name(), name) }

// open opens a file of the directory. O_NONBLOCK keeps the open of a named pipe
// from waiting for its other end.
func (d directory) open(name string, flag int) (*os.File, error) {
	return d.openFile(d.file, name, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, fileMode)
}

// openAt is openat(2).
func openAt(dir *os.File, name string, flag int, perm os.FileMode) (*os.File, error) {
	path, fd := filepath.Join(dir.Name(), name), -1
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flag, uint32(perm))
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// stat is fstatat(2) of a name, not of what a link there points to.
func (d directory) stat(name string) (st unix.Stat_t, err error) {
	err = ignoringEINTR(func() error { return unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		err = &fs.PathError{Op: "stat", Path: d.path(name), Err: err}
	}
	return st, err
}

// exists reports whether there is something of that name.
func (d directory) exists(name string) bool {
	_, err := d.stat(name)
	return err == nil
}

func (d directory) rename(from, to string) error {
	err := ignoringEINTR(func() error { return unix.Renameat(d.fd(), from, d.fd(), to) })
	if err != nil {
		return &os.LinkError{Op: "rename", Old: d.path(from), New: d.path(to), Err: err}
	}
	return nil
}

// remove deletes a name, whatever it is, and nothing that it points to. No such
// name is no error.
func (d directory) remove(name string) error { return removeAt(d.file, name) }

func removeAt(dir *os.File, name string) error {
	path := filepath.Join(dir.Name(), name)
	err := ignoringEINTR(func() error { return unix.Unlinkat(int(dir.Fd()), name, 0) })
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case !errors.Is(err, unix.EISDIR):
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	sub, err := openAt(dir, name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	names, err := sub.Readdirnames(-1)
	for _, n := range names {
		err = errors.Join(err, removeAt(sub, n))
	}
	if err = errors.Join(err, sub.Close()); err != nil {
		return err
	}
	if err := ignoringEINTR(func() error { return unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR) }); err != nil {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

// sync makes the names in the directory durable.
//
// EINVAL is no error. Linux returns it when the file system has no fsync for
// directories: 9P before 9P2000.L, VirtualBox shares, HFS, and CIFS and FAT of
// old kernels. A program can do no more there, and an error would only keep
// otad from running. PostgreSQL (fsync_fname) ignores EINVAL here too. After
// any other error, EIO for example, the names may not be durable.
func (d directory) sync() error {
	if err := d.file.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// errForeign means that the file of a name is another user's.
var errForeign = errors.New("belongs to another user")

// owned returns nil when otad's user, root or the owner of the directory owns
// the file: nobody else may say what the journal holds.
func (d directory) owned(st unix.Stat_t, name string) error {
	var dir unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Fstat(d.fd(), &dir) }); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if !slices.Contains([]uint32{uint32(os.Geteuid()), 0, dir.Uid}, st.Uid) {
		return fmt.Errorf("%s %w (%d)", d.path(name), errForeign, st.Uid)
	}
	return nil
}

func isRegular(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }

// ignoringEINTR repeats a call that a signal interrupted before it had any
// effect. The Go runtime sends signals to its own threads.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
