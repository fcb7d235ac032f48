package crashstates

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"otad/testdata/unotify"
)

// caller is a thread that is stopped in a call, and the directory that counts.
type caller struct {
	tid int
	dir string
}

// decode returns the operations of a call; a call on another file has none.
func (c *caller) decode(n unotify.Notification) ([]Op, error) {
	a := n.Args
	switch n.Nr {
	case unix.SYS_OPENAT:
		return c.open(a)
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		return c.write(n.Nr, a)
	case unix.SYS_FTRUNCATE:
		return c.onFile(a[0], Op{Kind: Truncate, At: int64(a[1])})
	case unix.SYS_FCHMOD:
		return c.onFile(a[0], Op{Kind: Chmod, Mode: uint32(a[1])})
	case unix.SYS_FSYNC:
		return c.onFile(a[0], Op{Kind: Sync})
	case unix.SYS_FDATASYNC:
		return c.onFile(a[0], Op{Kind: Datasync})
	case unix.SYS_FALLOCATE:
		if a[1] != unix.FALLOC_FL_KEEP_SIZE {
			return nil, fmt.Errorf("fallocate with mode %#x is not in the model", a[1])
		}
		return nil, nil // neither bytes nor length change
	case unix.SYS_UNLINKAT:
		return c.onName(a[0], a[1], Op{Kind: Unlink})
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return c.rename(a)
	default:
		return nil, fmt.Errorf("system call %d is not in the model", n.Nr)
	}
}

func (c *caller) open(a [6]uint64) ([]Op, error) {
	flags := a[2]
	if flags&(unix.O_CREAT|unix.O_TRUNC) == 0 {
		return nil, nil
	}
	if flags&unix.O_TRUNC != 0 {
		return nil, errors.New("O_TRUNC is not in the model")
	}
	return c.onName(a[0], a[1], Op{Kind: Create, Mode: uint32(a[3])})
}

func (c *caller) write(nr int32, a [6]uint64) ([]Op, error) {
	if fd := int32(a[0]); nr == unix.SYS_WRITE && (fd == 1 || fd == 2) {
		data, err := unotify.ReadMemory(c.tid, uintptr(a[1]), int(a[2]))
		return prints(data), err
	}
	ops, err := c.onFile(a[0], Op{Kind: Write, At: int64(a[3])})
	if err != nil || len(ops) == 0 {
		return nil, err
	}
	if nr == unix.SYS_WRITE {
		if ops[0].At, err = c.position(a[0]); err != nil {
			return nil, err
		}
	}
	ops[0].Data, err = unotify.ReadMemory(c.tid, uintptr(a[1]), int(a[2]))
	return ops, err
}

func (c *caller) rename(a [6]uint64) ([]Op, error) {
	from, err := c.onName(a[0], a[1], Op{Kind: Rename})
	if err != nil {
		return nil, err
	}
	to, err := c.onName(a[2], a[3], Op{})
	if err != nil || len(from)+len(to) == 0 {
		return nil, err
	}
	if len(from)+len(to) == 1 {
		return nil, errors.New("a rename across the directory's border is not in the model")
	}
	from[0].To = to[0].Name
	return from, nil
}

// onFile completes o for an open file of the directory, or the directory itself.
func (c *caller) onFile(fd uint64, o Op) ([]Op, error) {
	path, err := os.Readlink(c.fd(fd))
	if err != nil {
		return nil, err
	}
	return c.on(path, o), nil
}

// onName completes o for a path in the caller's memory.
func (c *caller) onName(dirfd, addr uint64, o Op) ([]Op, error) {
	path, err := unotify.ReadPath(c.tid, uintptr(addr))
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(path) {
		base := "/proc/" + strconv.Itoa(c.tid) + "/cwd"
		if int32(dirfd) != unix.AT_FDCWD {
			base = c.fd(dirfd)
		}
		if base, err = os.Readlink(base); err != nil {
			return nil, err
		}
		path = filepath.Join(base, path)
	}
	return c.on(path, o), nil
}

func (c *caller) on(path string, o Op) []Op {
	if path == place(c.dir, slotName) {
		o.Name = slotName
		return []Op{o}
	}
	name, err := filepath.Rel(c.dir, path)
	if err != nil || strings.ContainsRune(name, filepath.Separator) || name == ".." {
		return nil
	}
	o.Name = name
	return []Op{o}
}

func (c *caller) fd(n uint64) string { return fmt.Sprintf("/proc/%d/fd/%d", c.tid, int32(n)) }

// position returns the offset of the next write of an open file.
func (c *caller) position(fd uint64) (int64, error) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", c.tid, int32(fd)))
	if err != nil {
		return 0, err
	}
	var pos, flags int64
	if _, err := fmt.Sscanf(string(info), "pos:\t%d\nflags:\t%o", &pos, &flags); err != nil {
		return 0, fmt.Errorf("position in %q: %w", info, err)
	}
	if flags&unix.O_APPEND == 0 {
		return pos, nil
	}
	st, err := os.Stat(c.fd(fd))
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// prints returns the lines of one write to stderr or stdout. otad's log is
// written by a goroutine of its own, several lines at a time when it is behind.
func prints(data []byte) (ops []Op) {
	for line := range bytes.Lines(data) {
		ops = append(ops, Op{Kind: Print, Data: line})
	}
	return ops
}
