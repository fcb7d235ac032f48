// Package namespace starts boards for tests: an init system as process 1 in namespaces
// of its own (processes, mounts, network, cgroups), on a root in memory. It needs root,
// and nothing of this machine is changed.
//
// A test's TestMain calls Enter first.
package namespace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"otad/testdata/otadrun"
)

// patience is the limit of every wait, on a machine that may have other work.
const patience = 60 * time.Second

// Board is a running init system. Paths are those that its processes see. Its methods
// end the test, or report to it, where they fail.
type Board struct {
	t    *testing.T
	init *otadrun.Process
}

// New starts an init system on a root that holds the files of spec.
func New(t *testing.T, spec Spec) *Board {
	t.Helper()
	console := newConsole(t)
	spec.Console = console.slave
	text, err := json.Marshal(spec)
	check(t, err)
	group := newCgroup(t)
	cmd := otadrun.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), insideVariable+"="+string(text), "container=otad-test")
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	b := Start(t, cmd)
	t.Cleanup(func() {
		if t.Failed() {
			state, _ := os.ReadFile("/proc/" + b.PID() + "/status")
			where, _ := os.ReadFile("/proc/" + b.PID() + "/stack")
			t.Logf("process 1:\n%s%s", state, where)
		}
		if r := b.Kill(); t.Failed() {
			t.Logf("the init system wrote:\n%s%s%s", r.Stdout, r.Stderr, console.text())
		}
	})
	return b
}

// Start starts cmd, which makes a root of its own and becomes an init system, as
// process 1 of a board.
func Start(t *testing.T, cmd *exec.Cmd) *Board {
	t.Helper()
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	p, err := otadrun.StartBy(cmd, StartOnOwnThread)
	check(t, err)
	t.Cleanup(func() { p.Kill() })
	b := &Board{t: t, init: p}
	check(t, p.Await(patience, "the board has a root of its own", func() (bool, error) { return !b.hasOurRoot(), nil }))
	return b
}

// hasOurRoot reports whether process 1 still has the root of this machine.
func (b *Board) hasOurRoot() bool {
	b.t.Helper()
	own, err := os.Stat("/")
	check(b.t, err)
	entered, err := os.Stat("/proc/" + b.PID() + "/root/")
	return err != nil || os.SameFile(own, entered)
}

// Init returns process 1.
func (b *Board) Init() *otadrun.Process { return b.init }

// Kill ends the board.
func (b *Board) Kill() otadrun.Result { return b.init.Kill() }

// check ends the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually ends the test unless the condition is met in time.
func eventually(t *testing.T, text string, met func() bool) {
	t.Helper()
	check(t, otadrun.Await(patience, text, func() (bool, error) { return met(), nil }))
}

// Client returns a client of servers in the board's network, which does not outlive
// the test.
func (b *Board) Client() *http.Client {
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		b.InNetwork(func() { c, err = net.Dial(network, addr) })
		return c, err
	}}}
	b.t.Cleanup(c.CloseIdleConnections)
	return c
}

// console is the terminal of a board.
type console struct {
	slave string // its name on this machine
	mu    sync.Mutex
	out   bytes.Buffer // guarded by mu
}

// newConsole opens a terminal and reads what is written to it.
func newConsole(t *testing.T) *console {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	check(t, err)
	check(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	c := &console{slave: fmt.Sprintf("/dev/pts/%d", n)}
	// It is open here, too: without a process that has it open, a read fails.
	slave, err := os.OpenFile(c.slave, os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return
			}
			c.mu.Lock()
			c.out.Write(buf[:n])
			c.mu.Unlock()
		}
	}()
	t.Cleanup(func() { slave.Close(); master.Close() })
	return c
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// StartOnOwnThread starts cmd on a thread that lives on: the kernel ends a process
// of otadrun.Command with the thread that has started it.
func StartOnOwnThread(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

// newCgroup makes a cgroup for a board, so that its init system is the master of
// a tree of its own. The tree's mount is seen by this process alone.
func newCgroup(t *testing.T) *os.File {
	t.Helper()
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	check(t, err)
	defer unix.Close(fs)
	check(t, unix.FsconfigCreate(fs))
	tree, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	check(t, err)
	own := fmt.Sprintf("/proc/self/fd/%d/otad-board-%d-%s", tree, os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	check(t, os.Mkdir(own, 0o755))
	f, err := os.Open(own)
	check(t, err)
	t.Cleanup(func() {
		f.Close()
		eventually(t, "the cgroup of the board is empty", func() bool { return removeTree(own) })
		unix.Close(tree)
	})
	return f
}

// removeTree removes a folder of cgroups, and reports whether it is gone. The
// killed processes may be in them for a moment.
func removeTree(dir string) bool {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeTree(filepath.Join(dir, e.Name()))
		}
	}
	return os.Remove(dir) == nil
}

// PID returns the process ID of the init system on this machine.
func (b *Board) PID() string { return strconv.Itoa(b.init.Cmd.Process.Pid) }

// Path returns the name that a file of the board has on this machine. It ends the
// test where that would be a file of this machine itself.
func (b *Board) Path(name string) string {
	b.t.Helper()
	if b.hasOurRoot() {
		b.t.Fatal("the board has ended, or has this machine's root")
	}
	return filepath.Join("/proc", b.PID(), "root", name)
}

// InNetwork calls f on a thread in the board's network.
func (b *Board) InNetwork(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		ns, err := os.Open("/proc/" + b.PID() + "/ns/net")
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			b.t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// Command returns a command that runs on the board as root.
func (b *Board) Command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"-t", b.PID(), "-m", "-n", "-p", "-i", "-u", "-C"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"}
	return cmd
}

// Run runs a command on the board and returns its output and its exit code. It
// returns when all files that the command has had are closed, as ssh does.
func (b *Board) Run(args ...string) (out string, code int) {
	b.t.Helper()
	cmd := b.Command(args...)
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	limit := time.AfterFunc(patience, func() { b.t.Errorf("%q holds its caller", args); _ = b.init.Cmd.Process.Kill() })
	err := cmd.Run()
	limit.Stop()
	if cmd.ProcessState == nil {
		b.t.Fatalf("%q: %v", args, err)
	}
	return strings.TrimSpace(text.String()), cmd.ProcessState.ExitCode()
}

// Must is Run, and ends the test unless the exit code is 0.
func (b *Board) Must(args ...string) string {
	b.t.Helper()
	out, code := b.Run(args...)
	if code != 0 {
		b.t.Fatalf("%q ends with %d: %s", args, code, out)
	}
	return out
}

// Write writes a file of the board.
func (b *Board) Write(name, content string, mode fs.FileMode) {
	b.t.Helper()
	check(b.t, os.MkdirAll(filepath.Dir(b.Path(name)), 0o755))
	check(b.t, os.WriteFile(b.Path(name), []byte(content), mode))
	check(b.t, os.Chmod(b.Path(name), mode))
}

// Read returns a file of the board, without the space around it; "": there is none.
func (b *Board) Read(name string) string {
	text, _ := os.ReadFile(b.Path(name))
	return strings.TrimSpace(string(text))
}

// Stat returns owner, group and mode of a file of the board, as in "990:990 0711".
func (b *Board) Stat(name string) string {
	st, err := os.Lstat(b.Path(name))
	if err != nil {
		return err.Error()
	}
	sys := st.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d %04o", sys.Uid, sys.Gid, sys.Mode&0o7777)
}

// WantStat reports another owner, group or mode of a file.
func (b *Board) WantStat(name, want string) {
	b.t.Helper()
	if got := b.Stat(name); got != want {
		b.t.Errorf("%s is %s, want %s", name, got, want)
	}
}
