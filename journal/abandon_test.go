package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"otad/journal"
)

// What only the journal vouched for goes while the journal is still there: a
// crash in between must find both, or neither.
func TestWhatADamagedJournalVouchedForGoesFirst(t *testing.T) {
	refused := errors.New("cannot be deleted")
	for name, answer := range map[string]error{"deleted": nil, "refused": refused} {
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
					t.Errorf("the journal is gone already: %q, %v", got, err)
				}
				return answer
			}})
			if called != 1 || !errors.Is(err, answer) {
				t.Errorf("called %d times, and Open says %v", called, err)
			}
			_, aside := os.Stat(path + ".corrupt")
			if (answer == nil) != (aside == nil) {
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
