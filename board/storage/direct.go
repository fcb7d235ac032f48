package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directUnit is the alignment in bytes of a direct read or write: its offset, length
// and memory address must be multiples of it. It must be at least the logical
// block size of the disk, which is 512 or 4096 bytes (open(2), O_DIRECT).
const directUnit = 4096

// openDirect opens the file f with that name a second time, for direct writes:
// they go from the caller's memory to the disk without a copy in the page cache.
// On a small processor that copy costs as much as receiving the bytes.
// openDirect returns nil if the file system has no direct writes. A direct write
// is no more durable than any other before Sync.
func (d *StateDir) openDirect(name string, f *os.File) (*os.File, error) {
	direct, err := d.sys.openDirect(d, name)
	if isDirectRefusal(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var a, b unix.Stat_t
	if err = errors.Join(d.fstat(f, &a), d.fstat(direct, &b)); err == nil && (a.Dev != b.Dev || a.Ino != b.Ino) {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: errNotOwn}
	}
	if err != nil {
		direct.Close()
		return nil, err
	}
	return direct, nil
}

// isDirectRefusal reports whether a call failed only because it was direct.
func isDirectRefusal(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

// write writes b directly if b is aligned and the file allows it, and through
// the page cache otherwise.
func (p *Partial) write(b []byte, offset int64) (int, error) {
	if p.direct == nil || p.directRefused.Load() || !isAligned(b, offset) {
		return p.f.WriteAt(b, offset)
	}
	n, err := p.dir.sys.writeDirect(p.direct, b, offset)
	if isDirectRefusal(err) {
		// O_DIRECT can be refused late: by the file system at the first write,
		// by a disk with blocks larger than 4096 bytes, or for the unaligned
		// rest of a short write. Use normal writes from now on, beginning with
		// all of b.
		p.directRefused.Store(true)
		return p.f.WriteAt(b, offset)
	}
	return n, err
}

// readDirect reads into b from offset without the page cache. It returns io.EOF
// at the end of the file, as [io.ReaderAt] requires.
func (p *Partial) readDirect(b []byte, offset int64) (int, error) {
	memory, begin := b, offset
	if !isAligned(b, offset) {
		begin = offset / directUnit * directUnit
		size := (offset + int64(len(b)) - begin + directUnit - 1) / directUnit * directUnit
		memory = make([]byte, size+directUnit)
		unaligned := uintptr(unsafe.Pointer(unsafe.SliceData(memory))) % directUnit
		memory = memory[directUnit-unaligned:][:size]
	}
	// One call, and not a loop: after the end of the file has made it short, the
	// offset is not aligned any more.
	n := 0
	err := ignoringEINTR(func() (err error) {
		n, err = unix.Pread(int(p.direct.Fd()), memory, begin)
		return err
	})
	if isDirectRefusal(err) {
		return p.f.ReadAt(b, offset)
	}
	if err != nil {
		return 0, err
	}
	n = max(0, n-int(offset-begin))
	if &memory[0] != &b[0] {
		n = copy(b, memory[offset-begin:][:n])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// CheckReadback returns an error if [Partial.DropCache] cannot make reads come
// from the medium: the kernel has no fadvise(2) (CONFIG_ADVISE_SYSCALLS) and the
// file system no direct reads.
func (d *StateDir) CheckReadback() error {
	err := ignoringEINTR(func() error { return d.sys.fadvise(int(d.locked.Fd())) })
	if !errors.Is(err, unix.ENOSYS) {
		return nil
	}
	f, openErr := d.sys.openDirect(d, LockName)
	if openErr != nil {
		return fmt.Errorf("drop a file from the page cache: %w; read it without: %w", err, openErr)
	}
	return f.Close()
}

// isAligned reports whether b can be read or written directly at offset.
func isAligned(b []byte, offset int64) bool {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return (address|uintptr(len(b))|uintptr(offset))%directUnit == 0
}
