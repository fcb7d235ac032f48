package storage_test

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/storage"
)

// With holdLock in its environment the test binary acts as a second otad: it
// locks the directory named there, prints "locked", and waits until its stdin
// ends.
const holdLock = "STORAGE_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdLock); path != "" {
		d, err := storage.OpenStateDir(path)
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("locked\n")
		io.Copy(io.Discard, os.Stdin)
		runtime.KeepAlive(d)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func open(t *testing.T, path string) *storage.StateDir {
	t.Helper()
	d, err := storage.OpenStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// lockInChild starts a process that holds the lock of path.
func lockInChild(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdLock+"="+path)
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill(); child.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "locked\n" {
		t.Fatalf("the child printed %q, %v", line, err)
	}
	return child
}

func TestOpenStateDirIsRefusedWhileAnotherProcessHoldsIt(t *testing.T) {
	dir := t.TempDir()
	child := lockInChild(t, dir)

	// The child runs outside of the bubble; inside, the second passes at once.
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := storage.OpenStateDir(dir)
		if !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), dir) {
			t.Errorf("error is %v, want ErrLocked that names %s", err, dir)
		}
		if waited := time.Since(start); waited < time.Second || waited > 1100*time.Millisecond {
			t.Errorf("gave up after %v, want one second", waited)
		}
	})

	// The kernel releases the lock of a killed process.
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	open(t, dir)
}

func TestOpenStateDirWaitsForAStoppingPredecessor(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first, err := storage.OpenStateDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(600*time.Millisecond, func() { first.Close() })
		second, err := storage.OpenStateDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		second.Close()
	})
}

func TestOpenStateDirLeavesItsLockOnly(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "journal.lock" {
		t.Errorf("the directory holds %v, %v; want the lock", entries, err)
	}
}

func TestOpenStateDirErrorsNamePathAndRemedy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		path   func(t *testing.T) string
		cause  error
		remedy string
	}{
		{"missing", func(t *testing.T) string { return filepath.Join(t.TempDir(), "gone") }, fs.ErrNotExist, "mount or create it"},
		{"a file", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, syscall.ENOTDIR, "name another one"},
		{"a read-only file system", func(t *testing.T) string {
			return mount(t, "-t", "tmpfs", "-o", "ro,mode=755", "otad-test")
		}, syscall.EROFS, "mount it read-write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.path(t)
			_, err := storage.OpenStateDir(path)
			if !errors.Is(err, tt.cause) {
				t.Fatalf("error is %v, want %v", err, tt.cause)
			}
			if text := err.Error(); !strings.Contains(text, path) || !strings.Contains(text, tt.remedy) {
				t.Errorf("error %q, want the path %s and %q in it", text, path, tt.remedy)
			}
		})
	}
}

// Under systemd the sandbox of the unit can be the cause as well.
func TestReadOnlyNamesTheSandboxInAUnit(t *testing.T) {
	path := mount(t, "-t", "tmpfs", "-o", "ro,mode=755", "otad-test")
	for id, want := range map[string]bool{"": false, "0f3c": true} {
		t.Setenv("INVOCATION_ID", id)
		_, err := storage.OpenStateDir(path)
		if err == nil || strings.Contains(err.Error(), "ReadWritePaths=") != want {
			t.Errorf("INVOCATION_ID=%q: %v", id, err)
		}
	}
}

func TestOpenStateDirFollowsALinkToTheDirectory(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if got := open(t, link).Path(); got != link {
		t.Errorf("Path() = %q, want %q", got, link)
	}
}

// mount runs mount(8) for the time of the test and returns the mount point.
func mount(t *testing.T, args ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Fatalf("mount %v: %v: %s", args, err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}
