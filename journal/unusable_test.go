package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"otad/journal"
)

func TestJournalInUseByAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	stop := startChild(t, "hold", dir)
	if err := os.WriteFile(filepath.Join(dir, "marker"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := readFile(t, dir)
	start := time.Now()
	_, err := openPath(dir, journal.Options{LockTimeout: 100 * time.Millisecond})
	if !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open = %v, want ErrLocked with the path", err)
	}
	if took := time.Since(start); took < 100*time.Millisecond || took > 2*time.Second {
		t.Errorf("gave up after %v", took)
	}
	wantFiles(t, dir, journal.FileName, "marker")
	if !bytes.Equal(before, readFile(t, dir)) {
		t.Error("the file was changed")
	}
	stop()
	reopened(t, dir, mustOpen(t, dir), journal.Record{State: "held"}, nil)
}

// holdChild has a journal open until its input ends.
func holdChild(args []string) error {
	j, err := openPath(args[0], journal.Options{})
	if err != nil {
		return err
	}
	if _, err := j.Update(func(r *journal.Record) { r.State = "held" }); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err // without Close: the kernel releases the lock
}

func TestErrorNamesTheDirectoryAndWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file, gone := filepath.Join(dir, "file"), filepath.Join(dir, "gone")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(gone, 0o700)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{gone: "create the directory", file: "choose a directory"} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if path == gone {
			if err := os.Remove(gone); err != nil {
				t.Fatal(err)
			}
		}
		_, err = journal.Open(f, journal.Options{})
		if !errors.Is(err, journal.ErrUnusable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%s) = %v, want ErrUnusable, the path and %q", path, err, want)
		}
	}
}

func TestErrorOfTheSystemHasAHint(t *testing.T) {
	tests := map[error]string{
		fs.ErrPermission: "let the user",
		unix.EROFS:       "read-only",
		unix.ENOSPC:      "is full",
		unix.EDQUOT:      "quota",
		unix.EINVAL:      "JFFS2",
		unix.ENODEV:      "JFFS2",
		unix.ENOLCK:      "no locks",
		unix.EIO:         "check the file system",
	}
	for cause, want := range tests {
		err := journal.OpenError("/data/otad", fmt.Errorf("mmap: %w", cause))
		if !errors.Is(err, journal.ErrUnusable) || !errors.Is(err, cause) ||
			!strings.Contains(err.Error(), "/data/otad") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v has the text %q, want %q in it", cause, err, want)
		}
	}
}

// TestMediumThatCannotBeOpened checks which errors of opening the file count as
// damage: only those set the journal aside.
func TestMediumThatCannotBeOpened(t *testing.T) {
	tests := []struct {
		err  error
		want journal.Result // empty: Open fails
	}{
		{unix.EACCES, ""}, {unix.EROFS, ""}, {unix.EMFILE, ""}, {unix.ENOMEM, ""},
		{unix.EIO, journal.SetAside}, {unix.EUCLEAN, journal.SetAside},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		mustOpen(t, dir).Close()
		failures := 1
		j, err := openPath(dir, journal.Options{OpenFile: func(dir *os.File, name string, flag int, perm os.FileMode) (*os.File, error) {
			if failures--; failures >= 0 {
				return nil, &fs.PathError{Op: "open", Path: name, Err: tt.err}
			}
			return journal.OpenAt(dir, name, flag, perm)
		}})
		if tt.want == "" {
			if !errors.Is(err, journal.ErrUnusable) || !errors.Is(err, tt.err) {
				t.Errorf("%v: Open = %v", tt.err, err)
			}
			wantFiles(t, dir, journal.FileName)
			continue
		}
		if err != nil || j.Recovery().Result != tt.want {
			t.Errorf("%v: Open = %v", tt.err, err)
			continue
		}
		j.Close()
	}
}
