package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/journal"
)

// The files of the journal are in the directory that was opened, whatever
// becomes of its path.
func TestPathOfTheDirectoryIsOfNoConcern(t *testing.T) {
	parent := t.TempDir()
	path, moved := filepath.Join(parent, "a"), filepath.Join(parent, "b")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := errors.Join(os.Rename(path, moved), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []journal.Result{journal.Created, journal.Clean, journal.SetAside} {
		j, err := journal.Open(dir, journal.Options{})
		if err != nil || j.Recovery().Result != want {
			t.Fatalf("%v, want %s", err, want)
		}
		mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(50) })
		mustUpdate(t, j, makeReady)
		if err := errors.Join(j.Scrub(), j.Close()); err != nil {
			t.Error(err)
		}
		if want == journal.Clean {
			overwrite(t, moved, nil)
		}
	}
	wantFiles(t, path)
	wantFiles(t, moved, journal.FileName)
}

// No file is followed, written to or emptied to which a link in the directory
// leads.
func TestLinksAreNotFollowed(t *testing.T) {
	links := map[string]func(target, name string) error{"symbolic": os.Symlink, "hard": os.Link}
	for kind, link := range links {
		for _, name := range []string{"journal.db", "journal.db.new", "journal.db.corrupt", "journal.opening"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "target")
				content := []byte("..")
				if err := errors.Join(os.WriteFile(outside, content, 0o644), link(outside, filepath.Join(dir, name))); err != nil {
					t.Fatal(err)
				}
				use := func() {
					j := mustOpen(t, dir)
					mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(50) })
					mustUpdate(t, j, makeReady)
					if err := errors.Join(j.Scrub(), j.Close()); err != nil {
						t.Error(err)
					}
				}
				use()
				overwrite(t, dir, nil) // to be set aside
				use()
				use()
				got, err := os.ReadFile(outside)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("the target holds %q, %v", got, err)
				}
				wantFiles(t, dir, journal.FileName)
			})
		}
	}
}

// closedJournal makes a journal with every field set and closes it.
func closedJournal(t *testing.T, dir string) (journal.Record, []journal.Checkpoint) {
	t.Helper()
	j := mustOpen(t, dir)
	defer j.Close()
	mustUpdate(t, j, func(r *journal.Record) { *r = fullRecord() })
	mustCommit(t, j, checkpointAt(5))
	return j.Record(), j.Checkpoints()
}

// A journal with a second name is copied: what bbolt writes must not be in a
// file that somebody else keeps.
func TestJournalWithTwoNamesIsCopied(t *testing.T) {
	dir := t.TempDir()
	record, checkpoints := closedJournal(t, dir)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.Link(filepath.Join(dir, journal.FileName), backup); err != nil {
		t.Fatal(err)
	}
	before := readFile(t, dir)
	j := mustOpen(t, dir)
	if got := j.Recovery(); got.Result != journal.Rebuilt || !strings.Contains(got.Reason, "2 names") {
		t.Errorf("recovery %+v", got)
	}
	reopened(t, dir, j, record, checkpoints).Close()
	if after, err := os.ReadFile(backup); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the other name's content has changed: %v", err)
	}
}

// A journal that others could read is for its owner only from then on.
func TestJournalIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir).Close()
	path := filepath.Join(dir, journal.FileName)
	if err := os.Chmod(path, 0o664); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestJournalOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	const stranger, owner = 4711, 4712
	for _, tt := range []struct {
		dir, file int
		refused   bool
	}{{0, stranger, true}, {owner, stranger, true}, {owner, owner, false}, {owner, 0, false}} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			dir := t.TempDir()
			mustOpen(t, dir).Close()
			path := filepath.Join(dir, journal.FileName)
			if err := errors.Join(os.Chown(dir, tt.dir, -1), os.Chown(path, tt.file, -1)); err != nil {
				t.Fatal(err)
			}
			j, err := openPath(dir, journal.Options{})
			if err == nil {
				j.Close()
			}
			_, _, peekErr := journal.Peek(dir)
			if !tt.refused {
				if err := errors.Join(err, peekErr); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, journal.ErrUnusable) || !strings.Contains(err.Error(), "chown") || peekErr == nil {
				t.Errorf("Open = %v, Peek = %v", err, peekErr)
			}
			wantFiles(t, dir, journal.FileName)
		})
	}
}

// TestRebuildCutShort starts with what a crash at any step of making a new file
// of a journal that holds leaves behind.
func TestRebuildCutShort(t *testing.T) {
	dir := t.TempDir()
	record, checkpoints := closedJournal(t, dir)
	old := readFile(t, dir)
	for range 3 {
		failToOpen(t, dir)
	}
	mustOpen(t, dir).Close()
	made := readFile(t, dir)
	marker := []byte("...")
	states := map[string]map[string][]byte{
		"renamed":               {"journal.db": made, "journal.opening": marker},
		"all but the new name":  {"journal.db": old, "journal.db.new": made, "journal.opening": marker},
		"the marker is gone":    {"journal.db": old, "journal.db.new": made},
		"one more start failed": {"journal.db": old, "journal.db.new": made, "journal.opening": []byte("....")},
	}
	for size := 0; size < len(made); size += 4096 {
		states[fmt.Sprint(size, " bytes")] = map[string][]byte{"journal.db": old, "journal.db.new": made[:size], "journal.opening": marker}
	}
	for name, files := range states {
		dir := t.TempDir()
		for file, content := range files {
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		j := mustOpen(t, dir)
		want := journal.Rebuilt
		if files["journal.opening"] == nil {
			want = journal.Clean
		}
		if got := j.Recovery().Result; got != want {
			t.Errorf("%s: %v", name, got)
		}
		reopened(t, dir, j, record, checkpoints).Close()
		wantFiles(t, dir, journal.FileName)
	}
}
