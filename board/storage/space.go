package storage

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// SpaceError means that a package does not fit. It is found before the first
// byte is fetched, and errors.Is sees ENOSPC in it like in a write that failed.
type SpaceError struct {
	Need int64 // bytes still to be allocated for the package
	Free int64 // bytes that may be used for it; never negative
}

func (e *SpaceError) Error() string { return fmt.Sprintf("need %d bytes, %d free", e.Need, e.Free) }

// Space returns Need and Free.
func (e *SpaceError) Space() (need, free int64) { return e.Need, e.Free }

// Unwrap makes the error match [unix.ENOSPC].
func (e *SpaceError) Unwrap() error { return unix.ENOSPC }

// Free is how many bytes a user without privileges may still write to the file
// system of the directory. The blocks that ext4 and others keep back for root
// are not counted, also when otad runs as root: they are there so that the
// board can still boot and log when everything else is full.
func (d *StateDir) Free() (int64, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return d.sys.statfs(int(d.dir.Fd()), &st) }); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return bytesOf(st.Bavail, unit(&st)), nil
}

// unit is the size of the blocks that statfs counts in: the fragment size, and
// the block size on old kernels that leave it zero. Both are 32 bits wide on
// armv7 and 64 on arm64.
func unit(st *unix.Statfs_t) int64 {
	if st.Frsize > 0 {
		return int64(st.Frsize)
	}
	return int64(st.Bsize)
}

// bytesOf multiplies in 64 bits and stops at the largest int64: some network
// file systems say "no limit" with all bits set.
func bytesOf(blocks uint64, unit int64) int64 {
	if unit <= 0 {
		return 0
	}
	if blocks > uint64(math.MaxInt64/unit) {
		return math.MaxInt64
	}
	return int64(blocks) * unit
}

// Reserve makes sure that the file can grow to size bytes while minFree bytes
// of the file system stay free for everybody else, and allocates the blocks, so
// that no other writer can take them in the middle of the download. The length
// of the file stays as it is. What the file occupies already is counted, so a
// resumed package needs room only for its rest.
//
// A package that does not fit is a [*SpaceError]; then nothing of the
// reservation stays. A file system that cannot allocate ahead (UBIFS, NFS, FAT
// on old kernels) is no error: the check has been made, the room is hoped for.
func (p *Partial) Reserve(size, minFree int64) error {
	if err := p.usable(); err != nil {
		return err
	}
	need, free, err := p.room(size, minFree)
	if err != nil {
		return err
	}
	if need > free {
		return &SpaceError{Need: need, Free: free}
	}
	err = p.control(func(fd int) error { return p.dir.sys.fallocate(fd, size) })
	switch {
	case err == nil, errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return p.unreserve(size, minFree)
	default:
		return fmt.Errorf("reserve %d bytes for %s: %w", size, p.name, err)
	}
}

// room tells how many bytes have to be allocated for a file of size bytes, and
// how many may be.
func (p *Partial) room(size, minFree int64) (need, free int64, err error) {
	var st unix.Stat_t
	if err := p.control(func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return 0, 0, fmt.Errorf("stat %s: %w", p.name, err)
	}
	if free, err = p.dir.Free(); err != nil {
		return 0, 0, err
	}
	const statBlock = 512 // st_blocks counts these on Linux, whatever st_blksize says
	return max(size-st.Blocks*statBlock, 0), max(free-minFree, 0), nil
}

// unreserve gives back what an allocation took before it ran out of room: some
// file systems keep that part. Cutting a file to the length it has frees the
// blocks behind its end and touches no byte in front of it.
func (p *Partial) unreserve(size, minFree int64) error {
	length, err := p.Size()
	if err != nil {
		return err
	}
	if err := p.f.Truncate(length); err != nil {
		return fmt.Errorf("give back the space reserved for %s: %w", p.name, err)
	}
	need, free, err := p.room(size, minFree)
	if err != nil {
		return err
	}
	return &SpaceError{Need: need, Free: free}
}
