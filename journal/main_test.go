package journal_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"otad/journal"
)

// Some tests need a process of their own: one that may crash, holds a lock, has
// limits, or whose writes are counted. They start this binary again with the
// name of one of children in childEnv.
const childEnv = "OTAD_JOURNAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		child, ok := children()[name]
		if !ok {
			fmt.Fprintln(os.Stderr, "no such child:", name)
			os.Exit(2)
		}
		if err := child(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func children() map[string]func(args []string) error {
	return map[string]func([]string) error{
		"hold":   holdChild,
		"write":  writeChild,
		"damage": damageChild,
		"limit":  limitChild,
		"tmpfs":  tmpfsChild,
		"count":  countChild,
	}
}

func childCommand(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// fastDir returns a directory in memory, if there is one. It is for tests of
// what is written, not of whether it is synced.
func fastDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "otad-journal-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// allocated returns how many bytes of the journal have blocks on the medium.
func allocated(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, journal.FileName), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// startChild starts a child that prints ready and then runs until stop.
func startChild(t *testing.T, name string, args ...string) (stop func()) {
	t.Helper()
	cmd := childCommand(t, name, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("child %s: %v", name, err)
		}
	}
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("child %s printed %q, %v", name, line, err)
	}
	return stop
}
