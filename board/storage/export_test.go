package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// Watch puts before in front of each durable step that d and its files make
// from now on: an error of it takes the place of the call. Steps are named
// "fdatasync file", "fsync file", "fsync directory" and "rename FROM TO".
func (d *StateDir) Watch(before func(step string) error) {
	real := d.sys
	d.sys.fdatasync = func(fd int) error {
		if err := before("fdatasync file"); err != nil {
			return err
		}
		return real.fdatasync(fd)
	}
	d.sys.fsync = func(fd int) error {
		step := "fsync file"
		if fd == int(d.dir.Fd()) {
			step = "fsync directory"
		}
		if err := before(step); err != nil {
			return err
		}
		return real.fsync(fd)
	}
	d.sys.rename = func(dir int, from, to string) error {
		if err := before("rename " + from + " " + to); err != nil {
			return err
		}
		return real.rename(dir, from, to)
	}
}

// AllocateThenFail makes fallocate take the first part bytes and answer err, as
// file systems do that allocate piece by piece.
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

// SetFree makes the file system look as if statfs had said this.
func (d *StateDir) SetFree(available uint64, blockSize, fragmentSize int) {
	d.sys.statfs = func(_ int, st *unix.Statfs_t) error {
		st.Bavail = available
		setUnits(st, blockSize, fragmentSize)
		return nil
	}
}

// setUnits converts to whatever width the architecture has.
func setUnits(st *unix.Statfs_t, blockSize, fragmentSize int) {
	assign(&st.Bsize, blockSize)
	assign(&st.Frsize, fragmentSize)
}

func assign[T ~int32 | ~int64 | ~uint32](field *T, v int) { *field = T(v) }

// WriteDirect takes the place of the writes past the page cache.
func (d *StateDir) WriteDirect(write func(f *os.File, b []byte, offset int64) (int, error)) {
	d.sys.writeDirect = write
}

// OpenDirect makes the opening for such writes fail.
func (d *StateDir) OpenDirect(err error) {
	d.sys.openDirect = func(*StateDir, string) (*os.File, error) { return nil, err }
}
