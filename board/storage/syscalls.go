package storage

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syscalls holds the system calls whose order and errors this package's promises
// depend on, and what else it asks the system. Tests replace them to record the
// order and to inject errors.
type syscalls struct {
	fsync     func(fd int) error
	fdatasync func(fd int) error
	fchmod    func(fd int, mode uint32) error
	rename    func(dir int, from, to string) error
	unlink    func(dir int, name string) error
	fallocate func(fd int, size int64) error
	statfs    func(fd int, st *unix.Statfs_t) error
	fadvise   func(fd int) error // drops the file from the page cache

	serviceUID func() int // of the user that otad's packages make; -1: there is none
	system     system     // where devices are described

	openDirect  func(d *StateDir, name string) (*os.File, error)
	writeDirect func(f *os.File, b []byte, offset int64) (int, error)
}

func linuxSyscalls() syscalls {
	return syscalls{
		fsync:     unix.Fsync,
		fdatasync: unix.Fdatasync,
		fchmod:    unix.Fchmod,
		rename: func(dir int, from, to string) error {
			return unix.Renameat(dir, from, dir, to)
		},
		unlink: func(dir int, name string) error {
			return unix.Unlinkat(dir, name, 0)
		},
		fallocate: func(fd int, size int64) error {
			return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, size)
		},
		statfs: unix.Fstatfs,
		fadvise: func(fd int) error {
			return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
		},

		serviceUID: serviceUID,
		system:     system{sys: "/sys", proc: "/proc"},

		openDirect: func(d *StateDir, name string) (*os.File, error) {
			return d.openAt(name, os.O_RDWR|unix.O_DIRECT, 0)
		},
		writeDirect: (*os.File).WriteAt,
	}
}

// ignoringEINTR repeats a call that a signal interrupted before it had any
// effect. The Go runtime sends signals to its own threads, so this happens
// often.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
