package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// Watch calls before in front of each system call that d and its files make
// from now on; an error of it replaces the call. The calls are named "fsync
// directory", "fsync file", "fdatasync file", "fchmod file", "fallocate file",
// "fadvise file", "statfs directory", "rename FROM TO" and "unlink NAME".
func (d *StateDir) Watch(before func(call string) error) {
	real := d.sys
	watched := func(call string, do func() error) error {
		if err := before(call); err != nil {
			return err
		}
		return do()
	}
	d.sys.fdatasync = func(fd int) error {
		return watched("fdatasync file", func() error { return real.fdatasync(fd) })
	}
	d.sys.fsync = func(fd int) error {
		call := "fsync file"
		if fd == int(d.dir.Fd()) {
			call = "fsync directory"
		}
		return watched(call, func() error { return real.fsync(fd) })
	}
	d.sys.fchmod = func(fd int, mode uint32) error {
		return watched("fchmod file", func() error { return real.fchmod(fd, mode) })
	}
	d.sys.fallocate = func(fd int, size int64) error {
		return watched("fallocate file", func() error { return real.fallocate(fd, size) })
	}
	d.sys.statfs = func(fd int, st *unix.Statfs_t) error {
		return watched("statfs directory", func() error { return real.statfs(fd, st) })
	}
	d.sys.fadvise = func(fd int) error {
		return watched("fadvise file", func() error { return real.fadvise(fd) })
	}
	d.sys.rename = func(dir int, from, to string) error {
		return watched("rename "+from+" "+to, func() error { return real.rename(dir, from, to) })
	}
	d.sys.unlink = func(dir int, name string) error {
		return watched("unlink "+name, func() error { return real.unlink(dir, name) })
	}
}

// AllocateThenFail makes fallocate allocate the first part bytes and return
// err, as file systems do that allocate piece by piece.
func (d *StateDir) AllocateThenFail(part int64, err error) {
	real := d.sys.fallocate
	d.sys.fallocate = func(fd int, size int64) error {
		if part > 0 {
			if err := real(fd, min(part, size)); err != nil {
				return err
			}
		}
		return err
	}
}

// SetFree sets what statfs reports.
func (d *StateDir) SetFree(available uint64, blockSize, fragmentSize int) {
	d.sys.statfs = func(_ int, st *unix.Statfs_t) error {
		st.Bavail = available
		assign(&st.Bsize, blockSize)
		assign(&st.Frsize, fragmentSize)
		return nil
	}
}

// assign converts v to the width that the field has on this architecture.
func assign[T ~int32 | ~int64 | ~uint32](field *T, v int) { *field = T(v) }

// SetWriteDirect replaces the direct writes.
func (d *StateDir) SetWriteDirect(write func(f *os.File, b []byte, offset int64) (int, error)) {
	d.sys.writeDirect = write
}

// OpenDirectly makes another file be opened for direct writes.
func (d *StateDir) OpenDirectly(path string) {
	d.sys.openDirect = func(*StateDir, string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR, 0) }
}

// FailOpenDirect makes the opening for direct writes fail.
func (d *StateDir) FailOpenDirect(err error) {
	d.sys.openDirect = func(*StateDir, string) (*os.File, error) { return nil, err }
}

// OpenStateDirOf is OpenStateDir on a board where otad's user has that number.
func OpenStateDirOf(uid int, path string) (*StateDir, error) {
	sys := linuxSyscalls()
	sys.serviceUID = func() int { return uid }
	return openStateDir(path, sys)
}

// UIDOf is uidOf.
func UIDOf(users, name string) int { return uidOf(users, name) }

// System is system, with its directories in place of /sys and /proc.
type System = system

// SystemAt returns the descriptions of devices under two directories.
func SystemAt(sys, proc string) System { return system{sys: sys, proc: proc} }

// Identify is identify of a block device.
func (s system) Identify(rdev uint64, size int64) deviceID {
	st := unix.Stat_t{Mode: unix.S_IFBLK}
	assignDevice(&st.Rdev, rdev)
	return s.identify(&st, size)
}

// Writes is writes of a block device.
func (s system) Writes(rdev uint64) string {
	st := unix.Stat_t{Mode: unix.S_IFBLK}
	assignDevice(&st.Rdev, rdev)
	return s.writes(&st)
}

// Differs is differs.
func (id deviceID) Differs(now deviceID) string { return id.differs(now) }

// HolderOf is holderOf.
func (s system) HolderOf(rdev uint64) string { return s.holderOf(rdev) }

func assignDevice[T ~uint32 | ~uint64](field *T, v uint64) { *field = T(v) }

// HeadSize is headSize.
const HeadSize = headSize
