package storage

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directUnit is what the offset, the length and the memory of a write past the
// page cache must be multiples of: no less than the logical block of the disks
// that boards have (open(2), O_DIRECT).
const directUnit = 4096

// openDirect opens NAME.part once more, for writes that go from the caller's
// memory to the disk without a copy in the page cache: on a small processor the
// copy costs as much as receiving the bytes did. It is nil where the file system
// cannot do that. Such a write is no more durable than any other before Sync.
func (d *StateDir) openDirect(name string) (*os.File, error) {
	f, err := d.sys.openDirect(d, name)
	if refusesDirect(err) {
		return nil, nil
	}
	return f, err
}

// refusesDirect tells whether a call failed for being direct and nothing else.
func refusesDirect(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

// write writes past the page cache what can be written so, and the rest through it.
func (p *Partial) write(b []byte, offset int64) (int, error) {
	if p.direct == nil || p.undirected.Load() || !isDirect(b, offset) {
		return p.f.WriteAt(b, offset)
	}
	n, err := p.dir.sys.writeDirect(p.direct, b, offset)
	if refusesDirect(err) {
		// A file system that says so only now, a disk with larger blocks, or the
		// rest of a write that a full disk cut short.
		p.undirected.Store(true)
		return p.f.WriteAt(b, offset)
	}
	return n, err
}

func isDirect(b []byte, offset int64) bool {
	return len(b) > 0 && (uintptr(unsafe.Pointer(unsafe.SliceData(b)))|uintptr(len(b))|uintptr(offset))%directUnit == 0
}
