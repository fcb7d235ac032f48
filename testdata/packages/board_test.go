package packages_test

import (
	"context"
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

// board is a machine in namespaces of its own. Paths are those that its processes
// see.
type board struct {
	t    *testing.T
	init *otadrun.Process
}

// newBoard starts a board over the folder lower, which stays as it is. Its process 1
// is init.
func newBoard(t *testing.T, lower string, init ...string) *board {
	t.Helper()
	enter, err := filepath.Abs("enter.sh")
	check(t, err)
	group := "otad-package-" + strconv.Itoa(os.Getpid()) + "-" + strings.ReplaceAll(t.Name(), "/", "-")
	cmd := otadrun.Command(enter, append([]string{group, lower}, init...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "container=otad-test"}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	b := &board{t: t}
	b.init, err = otadrun.StartBy(cmd, startOnOwnThread)
	check(t, err)
	t.Cleanup(func() {
		if r := b.init.Kill(); t.Failed() {
			t.Logf("the board wrote:\n%s%s", r.Stdout, r.Stderr)
		}
		removeCgroup(t, group)
	})
	eventually(t, "the board has a root of its own", func() bool {
		select {
		case <-b.init.Done():
			t.Fatalf("no board: %s", b.init.Stderr.String())
		default:
		}
		return strings.HasPrefix(b.init.Stdout.String(), "entered\n")
	})
	b.inNetwork(func() { check(t, loopbackUp()) })
	return b
}

// loopbackUp starts the loopback of the thread's network.
func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo)
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

// removeCgroup removes the tree of a board that has ended. Its processes may be in it
// for a moment.
func removeCgroup(t *testing.T, group string) {
	t.Helper()
	eventually(t, "the cgroup of the board is empty", func() bool {
		return exec.Command("unshare", "-m", "sh", "-c",
			`mount -t cgroup2 cgroup2 /mnt && { [ ! -e "/mnt/$0" ] || find "/mnt/$0" -depth -type d -exec rmdir {} +; }`, group).Run() == nil
	})
}

// pid returns the process ID of the board's process 1 on this machine.
func (b *board) pid() string { return strconv.Itoa(b.init.Cmd.Process.Pid) }

// path returns the name that a file of the board has on this machine. It ends the
// test where that would be a file of this machine itself.
func (b *board) path(name string) string {
	b.t.Helper()
	own, err := os.Stat("/")
	check(b.t, err)
	root := filepath.Join("/proc", b.pid(), "root")
	entered, err := os.Stat(root + "/")
	check(b.t, err)
	if os.SameFile(own, entered) {
		b.t.Fatal("the board has this machine's root")
	}
	return filepath.Join(root, name)
}

// run runs a command on the board as root, with nothing to read, and returns its
// output and its exit code.
func (b *board) run(args ...string) (out string, code int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// With the root by its name, too: that is checked.
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", b.pid(), "-m", "-n", "-p", "-i", "-u", "-C", "--root=" + b.path("/"), "--wd=" + b.path("/")}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TERM=dumb"}
	cmd.WaitDelay = time.Second // a daemon may hold the pipe
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		b.t.Fatalf("%q: %v", args, err)
	}
	return strings.TrimSpace(string(text)), cmd.ProcessState.ExitCode()
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

// copy copies a file of this machine to the board.
func (b *board) copy(from, to string) {
	b.t.Helper()
	content, err := os.ReadFile(from)
	check(b.t, err)
	b.write(to, string(content), 0o755)
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

// exists reports whether there is a file or a link of this name.
func (b *board) exists(name string) bool {
	_, err := os.Lstat(b.path(name))
	return err == nil
}

// wantStat reports another owner, group or mode of a file, as in "otad:otad 711".
func (b *board) wantStat(name, want string) {
	b.t.Helper()
	if got := b.must("stat", "-c", "%U:%G %a", name); got != want {
		b.t.Errorf("%s is %s, want %s", name, got, want)
	}
}

// client returns a client of the API of the board's otad, which does not outlive the
// test.
func (b *board) client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, addr string) (c net.Conn, err error) {
			b.inNetwork(func() { c, err = net.DialTimeout(network, addr, time.Second) })
			return c, err
		},
	}}
}

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
