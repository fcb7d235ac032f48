package packages_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"otad/testdata/namespace"
	"otad/testdata/otadrun"
)

// board is a machine in namespaces of its own.
type board struct {
	*namespace.Board
	t *testing.T
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
	t.Cleanup(func() { removeCgroup(t, group) })
	b := &board{namespace.Start(t, cmd), t}
	t.Cleanup(func() {
		if r := b.Kill(); t.Failed() {
			t.Logf("the board wrote:\n%s%s", r.Stdout, r.Stderr)
		}
	})
	check(t, b.Init().Await(patience, "the board has entered its root", func() (bool, error) {
		return strings.HasPrefix(b.Init().Stdout.String(), "entered\n"), nil
	}))
	b.InNetwork(func() { check(t, loopbackUp()) })
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

// removeCgroup removes the tree of a board that has ended. Its processes may be in it
// for a moment.
func removeCgroup(t *testing.T, group string) {
	t.Helper()
	eventually(t, "the cgroup of the board is empty", func() bool {
		return exec.Command("unshare", "-m", "sh", "-c",
			`mount -t cgroup2 cgroup2 /mnt && { [ ! -e "/mnt/$0" ] || find "/mnt/$0" -depth -type d -exec rmdir {} +; }`, group).Run() == nil
	})
}

// run runs a command on the board as root, with nothing to read, and returns its
// output and its exit code.
func (b *board) run(args ...string) (out string, code int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// With the root by its name, too: that is checked.
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", b.PID(), "-m", "-n", "-p", "-i", "-u", "-C", "--root=" + b.Path("/"), "--wd=" + b.Path("/")}, args...)...)
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
	b.Write(to, string(content), 0o755)
}

// exists reports whether there is a file or a link of this name.
func (b *board) exists(name string) bool {
	_, err := os.Lstat(b.Path(name))
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
			b.InNetwork(func() { c, err = net.DialTimeout(network, addr, time.Second) })
			return c, err
		},
	}}
}
