package storage

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// statBlock is the unit in bytes of st_blocks on Linux; st_blksize is another one.
const statBlock = 512

// SpaceError means that a package does not fit. [Partial.Reserve] returns it
// before the first byte is fetched. It matches [unix.ENOSPC], as the error of a
// failed write does.
type SpaceError struct {
	Need int64 // bytes still to be allocated for the package
	Free int64 // bytes that may be used for it; never negative
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("need %d bytes, %d free", e.Need, e.Free)
}

// Space returns Need and Free, both in bytes.
func (e *SpaceError) Space() (need, free int64) { return e.Need, e.Free }

// Unwrap makes the error match [unix.ENOSPC].
func (e *SpaceError) Unwrap() error { return unix.ENOSPC }

// DeviceSizeError means that a package is larger than the device. It matches
// [unix.ENOSPC].
type DeviceSizeError struct {
	Path       string
	Need, Free int64 // bytes of the package and of the device
}

func (e *DeviceSizeError) Error() string {
	return fmt.Sprintf("%s is too small: need %d bytes, it has %d", e.Path, e.Need, e.Free)
}

// Space returns Need and Free, both in bytes.
func (e *DeviceSizeError) Space() (need, free int64) { return e.Need, e.Free }

// Fixed returns true: nothing that is deleted makes room. It is how a caller that
// does not know this type finds that out.
func (*DeviceSizeError) Fixed() bool { return true }

// Unwrap makes the error match [unix.ENOSPC].
func (e *DeviceSizeError) Unwrap() error { return unix.ENOSPC }

// Free returns how many bytes an unprivileged user may still write to the file
// system of the directory. The blocks that ext4 and others reserve for root
// are not counted, even if otad runs as root: they let the board boot and log
// when everything else is full. Free may be called from any goroutine.
func (d *StateDir) Free() (int64, error) {
	var st unix.Statfs_t
	err := ignoringEINTR(func() error { return d.sys.statfs(int(d.dir.Fd()), &st) })
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return blockBytes(st.Bavail, blockSize(&st)), nil
}

// blockSize returns the size in bytes of the blocks that statfs counts: the
// fragment size, or the block size on old kernels that leave the fragment size
// zero. Both are 32 bits wide on armv7 and 64 on arm64.
func blockSize(st *unix.Statfs_t) int64 {
	if st.Frsize > 0 {
		return int64(st.Frsize)
	}
	return int64(st.Bsize)
}

// blockBytes multiplies in 64 bits and returns at most the largest int64: some
// network file systems report "no limit" as all bits set.
func blockBytes(blocks uint64, size int64) int64 {
	if size <= 0 {
		return 0
	}
	if blocks > uint64(math.MaxInt64/size) {
		return math.MaxInt64
	}
	return int64(blocks) * size
}

// Reserve checks that the file can grow to size bytes while minFree bytes of
// the file system stay free for other programs, and allocates the blocks, so
// that no other writer can take them during the download. The length of the
// file does not change. Blocks that the file already has are counted, so a
// resumed package needs space only for its rest.
//
// If the package does not fit, Reserve returns a [*SpaceError] and frees what
// it has allocated. A file that is too large for the file system (EFBIG) and a
// broken disk (EIO) are errors too. Every other error means that space cannot be
// allocated ahead here (UBIFS, NFS, FAT on old kernels, a seccomp filter), or
// that the free space is not known: Reserve does what can be done without.
// No other method of p may run at the same time.
func (p *Partial) Reserve(size, minFree int64) error {
	if err := p.checkFailed(); err != nil {
		return err
	}
	need, free, err := p.spaceFor(size, minFree)
	if errors.Is(err, unix.EIO) {
		return err
	}
	if err == nil && need > free {
		return &SpaceError{Need: need, Free: free}
	}
	err = p.withFD(func(fd int) error { return p.dir.sys.fallocate(fd, size) })
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return p.undoReserve(size, minFree)
	case errors.Is(err, unix.EFBIG), errors.Is(err, unix.EIO):
		return fmt.Errorf("reserve %d bytes for %s: %w", size, p.name, err)
	default:
		return nil
	}
}

// spaceFor returns how many bytes must be allocated until the file has size
// bytes, and how many may be allocated.
func (p *Partial) spaceFor(size, minFree int64) (need, free int64, err error) {
	var st unix.Stat_t
	if err := p.withFD(func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return 0, 0, fmt.Errorf("stat %s: %w", p.name, err)
	}
	if free, err = p.dir.Free(); err != nil {
		return 0, 0, err
	}
	return max(size-st.Blocks*statBlock, 0), max(free-minFree, 0), nil
}

// undoReserve frees what an allocation took before it ran out of space: some
// file systems keep that part. Truncating a file to its own length frees the
// blocks behind its end and changes no byte before it. undoReserve returns the
// *SpaceError.
func (p *Partial) undoReserve(size, minFree int64) error {
	length, err := p.Size()
	if err != nil {
		return err
	}
	if err := p.f.Truncate(length); err != nil {
		return fmt.Errorf("give back the space reserved for %s: %w", p.name, err)
	}
	need, free, err := p.spaceFor(size, minFree)
	if err != nil {
		return err
	}
	return &SpaceError{Need: need, Free: free}
}
