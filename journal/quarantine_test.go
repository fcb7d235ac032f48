package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"otad/journal"
)

// The data that only the journal describes is deleted while the journal is
// still in its place: after a crash in between, the next start repeats both.
func TestBeforeQuarantineRunsBeforeTheJournalIsMoved(t *testing.T) {
	failed := errors.New("cannot be deleted")
	for name, result := range map[string]error{"deleted": nil, "not deleted": failed} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, journal.FileName)
			damage := []byte("no journal")
			if err := os.WriteFile(path, damage, 0o600); err != nil {
				t.Fatal(err)
			}
			called := 0
			j, err := openPath(dir, journal.Options{BeforeQuarantine: func() error {
				called++
				if got, err := os.ReadFile(path); err != nil || string(got) != string(damage) {
					t.Errorf("the journal is not in its place: %q, %v", got, err)
				}
				return result
			}})
			if called != 1 || !errors.Is(err, result) {
				t.Errorf("called %d times, Open = %v", called, err)
			}
			_, aside := os.Stat(path + ".corrupt")
			if (result == nil) != (aside == nil) {
				t.Errorf("set aside: %v", aside)
			}
			if err == nil {
				j.Close()
				j, err = openPath(dir, journal.Options{BeforeQuarantine: func() error { called++; return nil }})
				if err != nil || called != 1 {
					t.Errorf("called %d times for one damage, %v", called, err)
				}
				j.Close()
			}
		})
	}
}

// Three starts that were killed inside bbolt cost a new file, and no byte of
// what the journal holds.
func TestThreeFailedOpensMakeANewFile(t *testing.T) {
	for failed := range 6 {
		t.Run(fmt.Sprint(failed), func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir)
			mustUpdate(t, j, func(r *journal.Record) { *r = fullRecord() })
			for i := range int64(5) {
				mustCommit(t, j, checkpointAt(i))
			}
			record, checkpoints := j.Record(), j.Checkpoints()
			j.Close()
			old := inode(t, dir)
			for range failed {
				failToOpen(t, dir)
			}
			j = mustOpen(t, dir)
			want := journal.Recovery{Result: journal.Clean}
			if failed >= 3 {
				want = journal.Recovery{Result: journal.Rebuilt, Reason: "3 starts in a row ended while it was being opened"}
			}
			if got := j.Recovery(); got != want {
				t.Errorf("recovery %+v, want %+v", got, want)
			}
			if same := inode(t, dir) == old; same != (failed < 3) {
				t.Errorf("the same file: %v", same)
			}
			if size := len(readFile(t, dir)); size != journal.Reserved {
				t.Errorf("the file has %d bytes", size)
			}
			reopened(t, dir, j, record, checkpoints) // and no fourth time
			wantFiles(t, dir, journal.FileName)
		})
	}
}

func failToOpen(t *testing.T, path string) {
	t.Helper()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := journal.MarkOpening(dir); err != nil {
		t.Fatal(err)
	}
}

func inode(t *testing.T, dir string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dir, journal.FileName), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestMarkerThatIsNoFileIsRemoved(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir).Close()
	if err := os.MkdirAll(filepath.Join(dir, "journal.opening", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := mustOpen(t, dir).Recovery().Result; got != journal.Clean {
		t.Errorf("recovery %v", got)
	}
	wantFiles(t, dir, journal.FileName)
}
