package init_test

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

const (
	otadID  = 990 // user and group otad
	stateIn = "/var/lib/otad"
)

// board is a running init system. Paths are those that its processes see.
type board struct {
	t      *testing.T
	init   *otadrun.Process
	client *http.Client
}

// newBoard starts an init system on a root that holds the files of spec.
func newBoard(t *testing.T, spec spec) *board {
	t.Helper()
	spec.Otad = binary
	console := newConsole(t)
	spec.Console = console.slave
	text, err := json.Marshal(spec)
	check(t, err)
	group := newCgroup(t)
	cmd := otadrun.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), insideVariable+"="+string(text), "container=otad-test")
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	b := &board{t: t}
	b.init, err = otadrun.StartBy(cmd, startOnOwnThread)
	check(t, err)
	b.client = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		b.inNetwork(func() { c, err = net.Dial(network, addr) })
		return c, err
	}}}
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		if t.Failed() {
			state, _ := os.ReadFile("/proc/" + b.pid() + "/status")
			where, _ := os.ReadFile("/proc/" + b.pid() + "/stack")
			t.Logf("process 1:\n%s%s", state, where)
		}
		if r := b.init.Kill(); t.Failed() {
			t.Logf("the init system wrote:\n%s%s%s", r.Stdout, r.Stderr, console.text())
		}
	})
	return b
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

// startOnOwnThread starts cmd on a thread that lives on: the kernel ends a process
// of otadrun.Command with the thread that has started it.
func startOnOwnThread(cmd *exec.Cmd) error {
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
	own := fmt.Sprintf("/proc/self/fd/%d/otad-init-%d-%s", tree, os.Getpid(), t.Name())
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

// pid returns the process ID of the init system on this machine.
func (b *board) pid() string { return strconv.Itoa(b.init.Cmd.Process.Pid) }

// path returns the name that a file of the board has on this machine.
func (b *board) path(name string) string { return filepath.Join("/proc", b.pid(), "root", name) }

// inNetwork calls f on a thread in the board's network.
func (b *board) inNetwork(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		ns, err := os.Open("/proc/" + b.pid() + "/ns/net")
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

// command returns a command that runs on the board as root.
func (b *board) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"-t", b.pid(), "-m", "-n", "-p", "-i", "-u", "-C"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"}
	return cmd
}

// run runs a command on the board and returns its output and its exit code. It
// returns when all files that the command has had are closed, as ssh does.
func (b *board) run(args ...string) (out string, code int) {
	b.t.Helper()
	cmd := b.command(args...)
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

// must is run, and ends the test unless the exit code is 0.
func (b *board) must(args ...string) string {
	b.t.Helper()
	out, code := b.run(args...)
	if code != 0 {
		b.t.Fatalf("%q ends with %d: %s", args, code, out)
	}
	return out
}

// write writes a file of the board.
func (b *board) write(name, content string, mode fs.FileMode) {
	b.t.Helper()
	check(b.t, os.MkdirAll(filepath.Dir(b.path(name)), 0o755))
	check(b.t, os.WriteFile(b.path(name), []byte(content), mode))
	check(b.t, os.Chmod(b.path(name), mode))
}

// read returns a file of the board, without the space around it; "": there is none.
func (b *board) read(name string) string {
	text, _ := os.ReadFile(b.path(name))
	return strings.TrimSpace(string(text))
}

// stat returns owner, group and mode of a file of the board, as in "990:990 0711".
func (b *board) stat(name string) string {
	st, err := os.Lstat(b.path(name))
	if err != nil {
		return err.Error()
	}
	sys := st.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d %04o", sys.Uid, sys.Gid, sys.Mode&0o7777)
}

// wantStat reports another owner, group or mode of a file.
func (b *board) wantStat(name, want string) {
	b.t.Helper()
	if got := b.stat(name); got != want {
		b.t.Errorf("%s is %s, want %s", name, got, want)
	}
}
