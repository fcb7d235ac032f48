package journal_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"otad/journal"
)

// TestWritesThatFail runs in a process with a limit on the size of its files,
// at each page in turn. Writes behind the limit fail, first during creation and
// then in an open journal.
func TestWritesThatFail(t *testing.T) {
	runChild(t, childCommand(t, "limit", t.TempDir()))
}

// TestFullDisk runs on a small file system of its own.
func TestFullDisk(t *testing.T) {
	cmd := childCommand(t, "tmpfs", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	runChild(t, cmd)
}

// runChild returns the child's output and fails the test when the child fails.
// A child that lacks what it needs prints a line that begins with "skip".
func runChild(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, os.ErrPermission) || strings.HasPrefix(string(out), "skip") {
		t.Skip(err, string(out))
	}
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	return string(out)
}

func limitChild(args []string) error {
	signal.Ignore(syscall.SIGXFSZ) // so that writes fail instead
	for pages := range journal.Reserved/journal.PageSize + 1 {
		limit := uint64(pages*journal.PageSize + 100)
		if err := limitedCreation(filepath.Join(args[0], fmt.Sprint("create", pages)), limit); err != nil {
			return fmt.Errorf("creation within %d bytes: %w", limit, err)
		}
		if err := limitedWrites(filepath.Join(args[0], fmt.Sprint("write", pages)), limit); err != nil {
			return fmt.Errorf("writes within %d bytes: %w", limit, err)
		}
	}
	return nil
}

// limitedCreation checks that a creation that fails leaves no file, and that
// the next one succeeds.
func limitedCreation(dir string, limit uint64) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	lift, err := limitFiles(limit)
	if err != nil {
		return err
	}
	j, err := openPath(dir, journal.Options{})
	lift()
	if err == nil {
		if limit < journal.Reserved {
			return errors.New("succeeded")
		}
		return j.Close()
	}
	entries, dirErr := os.ReadDir(dir)
	if !errors.Is(err, journal.ErrUnusable) || dirErr != nil || len(entries) > 0 {
		return fmt.Errorf("%w, leaving %v, %v", err, entries, dirErr)
	}
	j, err = openPath(dir, journal.Options{})
	if err != nil || j.Recovery().Result != journal.Created {
		return fmt.Errorf("then %w", err)
	}
	return j.Close()
}

// limitedWrites checks that a write that fails changes nothing, that the next
// one succeeds, and that the file has the same contents as the memory.
func limitedWrites(dir string, limit uint64) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	j, err := openPath(dir, journal.Options{})
	if err != nil {
		return err
	}
	for i := range 12 {
		if err := limitedWrite(j, limit, i); err != nil {
			return err
		}
	}
	want := stateOf(j)
	if err := j.Close(); err != nil {
		return err
	}
	if j, err = openPath(dir, journal.Options{}); err != nil {
		return err
	}
	if got := stateOf(j); got != want || j.Recovery().Result != journal.Clean {
		return fmt.Errorf("reopened %+v, holds %.100s, want %.100s", j.Recovery(), got, want)
	}
	return j.Close()
}

func limitedWrite(j *journal.Journal, limit uint64, i int) error {
	write := func() error { return j.Commit(checkpointAt(int64(i))) }
	if i%3 == 0 {
		write = func() error {
			_, err := j.Update(func(r *journal.Record) { *r = worstCase(16-i, byte(i)); r.Generation = uint64(i) })
			return err
		}
	}
	before := stateOf(j)
	lift, err := limitFiles(limit)
	if err != nil {
		return err
	}
	err = write()
	lift()
	if err == nil {
		return nil
	}
	if got := stateOf(j); got != before {
		return fmt.Errorf("after %w holds %.100s, want %.100s", err, got, before)
	}
	if !errors.Is(err, unix.EFBIG) {
		return err
	}
	return write()
}

// limitFiles makes writes beyond this size of a file fail with EFBIG.
func limitFiles(bytes uint64) (lift func(), err error) {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return nil, err
	}
	lift = func() { _ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old) }
	return lift, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: old.Max})
}

func tmpfsChild(args []string) error {
	dir := args[0]
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		fmt.Println("skip: mount:", err)
		return nil
	}
	if err := fullFromTheStart(dir); err != nil {
		return fmt.Errorf("full from the start: %w", err)
	}
	if err := fullUnderAnOpenJournal(dir); err != nil {
		return fmt.Errorf("full under an open journal: %w", err)
	}
	if err := killedAndFull(dir); err != nil {
		return fmt.Errorf("killed while opening and full: %w", err)
	}
	if err := damagedAndFull(dir); err != nil {
		return fmt.Errorf("damaged and full: %w", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	return readOnly(dir)
}

func fullFromTheStart(dir string) error {
	if err := fillUp(dir); err != nil {
		return err
	}
	_, err := openPath(dir, journal.Options{})
	if !errors.Is(err, journal.ErrUnusable) || !strings.Contains(err.Error(), "is full") {
		return fmt.Errorf("Open = %w", err)
	}
	return os.Remove(filepath.Join(dir, "filler"))
}

func fullUnderAnOpenJournal(dir string) error {
	j, err := openPath(dir, journal.Options{})
	if err != nil {
		return err
	}
	if err := fillUp(dir); err != nil {
		return err
	}
	for i := range 200 {
		_, err := j.Update(func(r *journal.Record) { *r = worstCase(i%17, byte(i)) })
		if err := errors.Join(err, j.Commit(checkpointAt(int64(i)))); err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
	}
	want := stateOf(j)
	if err := j.Close(); err != nil {
		return err
	}
	if j, err = openPath(dir, journal.Options{}); err != nil || stateOf(j) != want {
		return fmt.Errorf("reopened with another state, %w", err)
	}
	return j.Close()
}

// killedAndFull checks that a journal that should be copied is used as it is
// when there is no space for a copy.
func killedAndFull(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "filler"), nil, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "journal.opening"), []byte("..."), 0o600); err != nil {
		return err
	}
	if err := fillUp(dir); err != nil {
		return err
	}
	j, err := openPath(dir, journal.Options{})
	if err != nil || j.Recovery().Result != journal.Clean || j.Record().State != "Failed" {
		return fmt.Errorf("Open = %w", err)
	}
	return j.Close()
}

// damagedAndFull checks that the old damaged journal makes space for a new one.
func damagedAndFull(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, journal.FileName), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 2*journal.PageSize), 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	j, err := openPath(dir, journal.Options{})
	if err != nil || j.Recovery().Result != journal.SetAside {
		return fmt.Errorf("Open = %w", err)
	}
	return errors.Join(j.Commit(checkpointAt(1)), j.Close())
}

func readOnly(dir string) error {
	_, err := openPath(dir, journal.Options{})
	if !errors.Is(err, journal.ErrUnusable) || !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "read-only") {
		return fmt.Errorf("Open of a read-only journal = %w", err)
	}
	if _, checkpoints, err := journal.Peek(dir); err != nil || len(checkpoints) != 1 {
		return fmt.Errorf("Peek at a read-only journal = %v, %w", checkpoints, err)
	}
	return nil
}

func fillUp(dir string) error {
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if errors.Is(err, unix.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
