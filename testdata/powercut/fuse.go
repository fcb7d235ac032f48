package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// The part of the FUSE protocol (linux/fuse.h, version 7.31) that one regular
// file needs. The file is the root of the file system itself, so there are no
// names and no directories. A loop device on top of it gives the kernel a disk
// that is ours.
const (
	fuseGetattr = 3
	fuseSetattr = 4
	fuseForget  = 2
	fuseOpen    = 14
	fuseRead    = 15
	fuseWrite   = 16
	fuseRelease = 18
	fuseFsync   = 20
	fuseFlush   = 25
	fuseInit    = 26
	fuseIntr    = 36
	fuseDestroy = 38
	fuseForgets = 42

	fuseAsyncRead = 1 << 0
	fuseBigWrites = 1 << 5
	fuseMaxPages  = 1 << 22

	fuseMaxWrite = 1 << 20
	fuseForever  = 1 << 40 // seconds for which the attributes hold
)

type fuseRequest struct {
	Len, Opcode  uint32
	Unique, Node uint64
	UID, GID     uint32
	PID          uint32
	_            uint32
}

type fuseInitIn struct{ Major, Minor, MaxReadahead, Flags uint32 }

type fuseInitOut struct {
	Major, Minor, MaxReadahead, Flags uint32
	MaxBackground, CongestionLimit    uint16
	MaxWrite, TimeGran                uint32
	MaxPages, MapAlignment            uint16
	_                                 [8]uint32
}

type fuseAttrOut struct {
	Valid               uint64
	_, _                uint32
	Ino, Size, Blocks   uint64
	_, _, _             uint64 // times
	_, _, _             uint32
	Mode, Nlink         uint32
	_, _, _, Blksize, _ uint32
}

type fuseOpenOut struct {
	Handle uint64
	Flags  uint32
	_      uint32
}

// fuseIn is the argument of a read and of a write; the bytes of a write follow
// it.
type fuseIn struct {
	Handle, Offset uint64
	Size, Flags    uint32
	LockOwner      uint64
	_, _           uint32
}

type fuseWriteOut struct{ Size, _ uint32 }

// mountFUSE mounts d as the file at path, which must exist. The file is there
// until the process ends or the path is unmounted.
func mountFUSE(path string, d *disk) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=100600,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("powercut", path, "fuse", 0, options); err != nil {
		unix.Close(fd)
		return fmt.Errorf("mount the disk at %s: %w", path, err)
	}
	go (&fuseServer{fd: fd, disk: d}).serve()
	return nil
}

type fuseServer struct {
	fd   int
	disk *disk
}

// serve answers one request after another, so that the disk sees them in the
// order of the kernel. It reads by plain system calls, because the runtime's
// poller does not support the device.
func (s *fuseServer) serve() {
	defer unix.Close(s.fd)
	buf := make([]byte, fuseMaxWrite+4096)
	for {
		n, err := syscall.Read(s.fd, buf)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAGAIN) {
			continue // the request was withdrawn
		}
		if err != nil {
			return // ENODEV: unmounted
		}
		var r fuseRequest
		body := decode(buf[:n], &r)
		switch r.Opcode {
		case fuseForget, fuseForgets, fuseIntr:
			continue // these have no answer
		case fuseDestroy:
			s.reply(r, 0)
			return
		}
		s.answer(r, body)
	}
}

func (s *fuseServer) answer(r fuseRequest, body []byte) {
	switch r.Opcode {
	case fuseInit:
		var in fuseInitIn
		decode(body, &in)
		s.reply(r, 0, fuseInitOut{Major: 7, Minor: 31, MaxReadahead: in.MaxReadahead,
			Flags:    in.Flags & (fuseAsyncRead | fuseBigWrites | fuseMaxPages),
			MaxWrite: fuseMaxWrite, MaxPages: fuseMaxWrite / 4096, TimeGran: 1})
	case fuseGetattr, fuseSetattr:
		size := uint64(s.disk.size())
		s.reply(r, 0, fuseAttrOut{Valid: fuseForever, Ino: 1, Size: size, Blocks: size / 512,
			Mode: unix.S_IFREG | 0o600, Nlink: 1, Blksize: 4096})
	case fuseOpen:
		s.reply(r, 0, fuseOpenOut{}) // no FOPEN_KEEP_CACHE: the cache would hold writes that the power cut has undone
	case fuseRead:
		var in fuseIn
		decode(body, &in)
		data := make([]byte, min(int64(in.Size), s.disk.size()-int64(in.Offset)))
		s.reply(r, errno(s.disk.readAt(data, int64(in.Offset))), data)
	case fuseWrite:
		var in fuseIn
		data := decode(body, &in)[:in.Size]
		s.reply(r, errno(s.disk.writeAt(data, int64(in.Offset), false)), fuseWriteOut{Size: in.Size})
	case fuseFsync:
		s.reply(r, errno(s.disk.flush()))
	case fuseFlush, fuseRelease:
		s.reply(r, 0) // of a file descriptor, not of the disk
	default:
		s.reply(r, unix.ENOSYS)
	}
}

func errno(err error) unix.Errno {
	if err != nil {
		return unix.EIO
	}
	return 0
}

// reply sends out, or only the error if there is one.
func (s *fuseServer) reply(r fuseRequest, e unix.Errno, out ...any) {
	var b bytes.Buffer
	b.Write(make([]byte, 16)) // the header, filled in below
	if e == 0 {
		for _, o := range out {
			_ = binary.Write(&b, binary.NativeEndian, o) // a bytes.Buffer takes everything
		}
	}
	head := b.Bytes()
	binary.NativeEndian.PutUint32(head[0:], uint32(b.Len()))
	binary.NativeEndian.PutUint32(head[4:], uint32(-int32(e)))
	binary.NativeEndian.PutUint64(head[8:], r.Unique)
	_, _ = syscall.Write(s.fd, head) // fails only for a request that was withdrawn
}

// decode fills v from the front of b and returns the rest.
func decode(b []byte, v any) []byte {
	n, err := binary.Decode(b, binary.NativeEndian, v)
	if err != nil {
		panic(err) // impossible: the kernel follows the protocol
	}
	return b[n:]
}
