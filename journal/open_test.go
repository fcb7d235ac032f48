package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"otad/journal"
)

func TestRecoveryReportsHowTheJournalWasFound(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	if got := j.Recovery(); got != (journal.Recovery{Result: journal.Created}) {
		t.Errorf("at first: %+v", got)
	}
	if r, list := j.Record(), j.Checkpoints(); !reflect.DeepEqual(r, journal.Record{}) || len(list) != 0 {
		t.Errorf("a new journal holds %+v and %+v", r, list)
	}
	j = reopened(t, dir, j, journal.Record{}, nil) // checks for Clean
	j.Close()
	overwrite(t, dir, []byte("not a journal"))
	j = mustOpen(t, dir)
	if got := j.Recovery(); got.Result != journal.SetAside || got.Reason == "" {
		t.Errorf("after damage: %+v", got)
	}
	reopened(t, dir, j, journal.Record{}, nil)
}

func TestOpeningLeavesNothingElseBehind(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	wantFiles(t, dir, journal.FileName)
	before := readFile(t, dir)
	j = reopened(t, dir, j, journal.Record{}, nil)
	wantFiles(t, dir, journal.FileName)
	j.Close()
	if got := changedPages(before, readFile(t, dir)); len(got) > 0 {
		t.Errorf("opening changed the pages %v", got)
	}
	if info, err := os.Stat(filepath.Join(dir, journal.FileName)); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestOpenSyncsBeforeItReads opens an existing journal where one of the two
// syncs fails: a process that was killed may have left a transaction in the
// page cache that a power cut undoes.
func TestOpenSyncsBeforeItReads(t *testing.T) {
	tests := map[string]struct {
		flag int    // to open the directory with
		file string // in the journal's place
		want error
	}{
		// Files of procfs can be read, written and locked, and have no fsync.
		"the file": {0, "/proc/self/comm", unix.EINVAL},
		// In a directory that is open as a path only, files can be opened, and it
		// cannot be synced.
		"the directory": {unix.O_PATH, "", unix.EBADF},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			mustOpen(t, path).Close()
			dir, err := os.OpenFile(path, tt.flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			var o journal.Options
			if tt.file != "" {
				o.OpenFile = func(*os.File, string, int, os.FileMode) (*os.File, error) { return os.OpenFile(tt.file, os.O_RDWR, 0) }
			}
			j, err := journal.Open(dir, o)
			if err == nil {
				j.Close()
			}
			if !errors.Is(err, tt.want) || !errors.Is(err, journal.ErrUnusable) {
				t.Errorf("Open = %v, want %v", err, tt.want)
			}
		})
	}
}

// TestWhatIsNoJournalIsSetAside puts all kinds of things in its place.
func TestWhatIsNoJournalIsSetAside(t *testing.T) {
	tests := map[string]func(path string) error{
		"an empty file":  func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"text":           func(path string) error { return os.WriteFile(path, []byte("otad\n"), 0o600) },
		"zeros":          func(path string) error { return os.WriteFile(path, make([]byte, 64<<10), 0o600) },
		"a huge file":    func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) },
		"a directory":    func(path string) error { return os.MkdirAll(filepath.Join(path, "sub"), 0o700) },
		"a link":         func(path string) error { return os.Symlink("/dev/zero", path) },
		"a broken link":  func(path string) error { return os.Symlink("nowhere", path) },
		"a link to self": func(path string) error { return os.Symlink(journal.FileName, path) },
		"a pipe":         func(path string) error { return unix.Mkfifo(path, 0o600) },
	}
	for name, put := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			// An earlier file that was set aside is replaced, even a directory.
			if err := os.MkdirAll(filepath.Join(dir, "journal.db.corrupt", "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, journal.FileName)
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			was, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			j := mustOpen(t, dir)
			if got := j.Recovery(); got.Result != journal.SetAside {
				t.Errorf("recovery %+v", got)
			}
			is, err := os.Lstat(filepath.Join(dir, "journal.db.corrupt"))
			if err != nil || is.Mode() != was.Mode() || is.Size() != was.Size() {
				t.Errorf("set aside %v, %v", is, err)
			}
			mustCommit(t, j, checkpointAt(1))
			reopened(t, dir, j, journal.Record{}, j.Checkpoints())
			wantFiles(t, dir, journal.FileName, "journal.db.corrupt")
		})
	}
}

// TestCreationCutShort opens a directory with what a crash at any step of
// making the journal leaves behind, and with a directory of that name.
func TestCreationCutShort(t *testing.T) {
	whole := t.TempDir()
	mustOpen(t, whole).Close()
	file := readFile(t, whole)
	leftovers := map[string]func(path string) error{
		"a directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "sub"), 0o700) },
	}
	for size := 0; size <= len(file); size += 2048 {
		leftovers[fmt.Sprint(size, " bytes")] = func(path string) error { return os.WriteFile(path, file[:size], 0o600) }
	}
	for name, put := range leftovers {
		dir := t.TempDir()
		if err := put(filepath.Join(dir, "journal.db.new")); err != nil {
			t.Fatal(err)
		}
		j := mustOpen(t, dir)
		if got := j.Recovery().Result; got != journal.Created {
			t.Errorf("%s of a new journal: %v", name, got)
		}
		wantFiles(t, dir, journal.FileName)
		reopened(t, dir, j, journal.Record{}, nil).Close()
	}
}

func overwrite(t testing.TB, dir string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, journal.FileName), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}
