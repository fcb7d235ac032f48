package init_test

import (
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
	text, err := json.Marshal(spec)
	check(t, err)
	group := newCgroup(t)
	cmd := otadrun.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), insideVariable+"="+string(text), "container=otad-test")
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	b := &board{t: t}
	// The signal of Command comes when the thread that has started the process
	// ends.
	b.init, err = otadrun.StartBy(cmd, func(cmd *exec.Cmd) error {
		started := make(chan error)
		go func() {
			runtime.LockOSThread()
			started <- cmd.Start()
			_ = cmd.Process.Signal(syscall.Signal(0))
			select {} // keeps the thread
		}()
		return <-started
	})
	check(t, err)
	b.client = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		b.inNetwork(func() { c, err = net.Dial(network, addr) })
		return c, err
	}}}
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		if r := b.init.Kill(); t.Failed() {
			t.Logf("the init system wrote:\n%s%s", r.Stdout, r.Stderr)
		}
	})
	return b
}

// newCgroup makes a cgroup for a board, so that its init system is the master of
// a tree of its own.
func newCgroup(t *testing.T) *os.File {
	t.Helper()
	mounted := t.TempDir()
	check(t, unix.Mount("cgroup2", mounted, "cgroup2", 0, ""))
	own := filepath.Join(mounted, fmt.Sprintf("otad-init-%d-%s", os.Getpid(), t.Name()))
	check(t, os.Mkdir(own, 0o755))
	f, err := os.Open(own)
	check(t, err)
	t.Cleanup(func() {
		f.Close()
		// From the leaves to the root. The killed processes may still be there.
		err := otadrun.Await(patience, "the board's cgroup is empty", func() (bool, error) {
			var folders []string
			_ = filepath.WalkDir(own, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					folders = append(folders, path)
				}
				return nil
			})
			for i := len(folders) - 1; i >= 0; i-- {
				_ = os.Remove(folders[i])
			}
			_, err := os.Stat(own)
			return os.IsNotExist(err), nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := unix.Unmount(mounted, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return f
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
