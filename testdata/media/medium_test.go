package media_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"otad/testdata/unotify"
)

// A medium decides on the calls with which otad changes files or reads at an
// offset: each call happens, happens later, or fails. A seccomp filter stops
// the caller and notifies us (SECCOMP_RET_USER_NOTIF, see seccomp_unotify(2)).
// That works on the unmodified binary and without root.
//
// A process installs the filter for itself. So the test binary is its own shim:
// it installs the filter, passes the listener to its parent and becomes otad.
type medium struct {
	mu    sync.Mutex
	rule  rule
	calls []call
	clock *wallClock // nil: the kernel's
}

// rule decides on a call. The zero fault lets it happen.
type rule func(call) fault

type fault struct {
	errno unix.Errno    // 0: none
	delay time.Duration // before it happens or fails
}

// call is a call that otad has made, stopped before it happens.
type call struct {
	what string // name of the system call
	file string // base name of the file; of a directory that is synced, the directory's
	grow bool   // of openat: it may make a file, or writes to one
}

// watched are the calls that stop, and where each has its file: a descriptor,
// or a name relative to one.
var watched = map[uintptr]struct {
	what  string
	named bool
}{
	unix.SYS_OPENAT:    {"openat", true},
	unix.SYS_RENAMEAT:  {"renameat", true},
	unix.SYS_UNLINKAT:  {"unlinkat", true},
	unix.SYS_PREAD64:   {"pread", false},
	unix.SYS_PWRITE64:  {"pwrite", false},
	unix.SYS_FTRUNCATE: {"ftruncate", false},
	unix.SYS_FALLOCATE: {"fallocate", false},
	unix.SYS_FSYNC:     {"fsync", false},
	unix.SYS_FDATASYNC: {"fdatasync", false},
	unix.SYS_FCHMOD:    {"fchmod", false},
	unix.SYS_FADVISE64: {"fadvise", false},
	unix.SYS_FSTATFS:   {"fstatfs", false},
}

// set replaces the rule; nil: everything happens.
func (m *medium) set(r rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rule = r
}

// decide records a call and applies the rule.
func (m *medium) decide(c call) fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, c)
	if m.rule == nil {
		return fault{}
	}
	return m.rule(c)
}

// made returns the calls of that kind so far.
func (m *medium) made(what, file string) []call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.calls), func(c call) bool { return c.what != what || c.file != file })
}

// unsynced returns the largest number of writes to a file without a sync in
// between.
func (m *medium) unsynced(file string) (most int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := int64(0)
	for _, c := range m.calls {
		switch {
		case c.file != file:
		case c.what == "pwrite":
			row++
		case c.what == "fdatasync":
			row = 0
		}
		most = max(most, row)
	}
	return most
}

// nth is a rule: the n-th call of that kind fails, once.
func nth(n int, what, file string, errno unix.Errno) rule {
	return func(c call) fault {
		if c.what != what || c.file != file {
			return fault{}
		}
		if n--; n != 0 {
			return fault{}
		}
		return fault{errno: errno}
	}
}

// first is a rule: the first n calls of that kind fail.
func first(n int, what, file string, errno unix.Errno) rule {
	return func(c call) fault {
		if n == 0 || c.what != what || c.file != file {
			return fault{}
		}
		n--
		return fault{errno: errno}
	}
}

// readOnly is a rule: the file system is mounted read-only.
func readOnly(c call) fault {
	if c.what == "openat" && !c.grow || c.what == "pread" {
		return fault{}
	}
	return fault{errno: unix.EROFS}
}

// respond returns the response to a call.
func (m *medium) respond(n unotify.Notification) unotify.Response {
	happens := unotify.Response{ID: n.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if n.Nr == unix.SYS_CLOCK_GETTIME {
		if m.clock == nil || m.clock.answer(int(n.PID), uintptr(n.Args[1])) != nil {
			return happens
		}
		return unotify.Response{ID: n.ID}
	}
	c := decode(n)
	if m.clock != nil && c.what == "openat" { // the first thing of all that it does
		_ = m.clock.take(int(n.PID)) // without it the year in the log is wrong
	}
	f := m.decide(c)
	time.Sleep(f.delay)
	if f.errno != 0 {
		return unotify.Response{ID: n.ID, Errno: -int32(f.errno)}
	}
	return happens
}

func decode(n unotify.Notification) call {
	w := watched[uintptr(n.Nr)]
	c := call{what: w.what}
	if w.named {
		path, _ := unotify.ReadPath(int(n.PID), uintptr(n.Args[1]))
		c.file = filepath.Base(path)
		c.grow = n.Args[2]&(unix.O_CREAT|unix.O_WRONLY|unix.O_RDWR) != 0
		return c
	}
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.PID, n.Args[0]))
	c.file = filepath.Base(path)
	return c
}
