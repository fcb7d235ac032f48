package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

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
			j, err := journal.Open(dir, journal.Options{BeforeQuarantine: func() error {
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
				j, err = journal.Open(dir, journal.Options{BeforeQuarantine: func() error { called++; return nil }})
				if err != nil || called != 1 {
					t.Errorf("called %d times for one damage, %v", called, err)
				}
				j.Close()
			}
		})
	}
}

func TestThreeFailedOpensSetTheJournalAside(t *testing.T) {
	for failed := range 5 {
		t.Run(fmt.Sprint(failed), func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir)
			mustUpdate(t, j, func(r *journal.Record) { r.State = "Downloading" })
			j.Close()
			for range failed {
				if err := journal.MarkOpening(dir); err != nil && failed <= 3 {
					t.Fatal(err)
				}
			}
			j = mustOpen(t, dir)
			want := journal.Recovery{Result: journal.Clean}
			if failed >= 3 {
				want = journal.Recovery{Result: journal.SetAside, Reason: "3 starts in a row ended while it was being opened"}
			}
			if got := j.Recovery(); got != want {
				t.Errorf("recovery %+v, want %+v", got, want)
			}
			reopened(t, dir, j, j.Record(), nil) // and no fourth time
		})
	}
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
