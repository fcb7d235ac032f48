package storage

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directUnit is the alignment in bytes of a direct write: its offset, length
// and memory address must be multiples of it. It must be at least the logical
// block size of the disk, which is 512 or 4096 bytes (open(2), O_DIRECT).
const directUnit = 4096

// openDirect opens NAME.part a second time, for direct writes: they go from
// the caller's memory to the disk without a copy in the page cache. On a small
// processor that copy costs as much as receiving the bytes. openDirect returns
// nil if the file system has no direct writes. A direct write is no more
// durable than any other before Sync.
func (d *StateDir) openDirect(name string) (*os.File, error) {
	f, err := d.sys.openDirect(d, name)
	if isDirectRefusal(err) {
		return nil, nil
	}
	return f, err
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

// isAligned reports whether b can be written directly at offset.
func isAligned(b []byte, offset int64) bool {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return (address|uintptr(len(b))|uintptr(offset))%directUnit == 0
}
