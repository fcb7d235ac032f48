package storage_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"otad/board/storage"
	"otad/journal"
)

func TestUnsafeNamesAreRefused(t *testing.T) {
	d := open(t, t.TempDir())
	for _, name := range []string{
		"", ".", "..", ".hidden", "a/b", "../u.zip", "/etc/passwd", "a\x00b", strings.Repeat("x", 129),
		"journal.db", "journal.db.corrupt", "JOURNAL.DB", "u.zip.otad-part", "u.zip.part", "u.zip.PART", "u.zip.otad-PART",
	} {
		_, openErr := d.OpenPartial(name)
		_, publishedErr := d.Published(name)
		removeErr := d.RemovePartial(name)
		for _, err := range []error{openErr, publishedErr, removeErr} {
			if !errors.Is(err, storage.ErrName) {
				t.Errorf("%q: error is %v, want ErrName", name, err)
			}
		}
	}
}

func TestLongestNameIsPublished(t *testing.T) {
	p := openPartial(t, open(t, t.TempDir()), strings.Repeat("x", 128))
	if err := p.Publish(0); err != nil {
		t.Error(err)
	}
}

// A job whose name the journal accepts and storage refuses could never start.
func TestNamesThatTheJournalAcceptsAreAccepted(t *testing.T) {
	d := open(t, t.TempDir())
	accepted := 0
	check := func(name string) {
		if journal.NameProblem(name) != "" {
			return
		}
		accepted++
		if _, err := d.Published(name); errors.Is(err, storage.ErrName) {
			t.Errorf("journal accepts %q, storage does not: %v", name, err)
		}
	}
	for n := range 2 * journal.MaxName {
		check(strings.Repeat("x", n))
		check(strings.Repeat("é", n))
	}
	for r := range rune(0x2100) {
		check(string(r))
		check("x" + string(r) + "x")
	}
	pieces := []string{"journal", "JOURNAL", "ſ", ".", "..", "part", "PART", "new", "otad", "-", " ", "+", "_", ":", `\`, "/", "\x00", "\xff", "\n"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		name := ""
		for range 1 + random.IntN(5) {
			name += pieces[random.IntN(len(pieces))]
		}
		check(name)
	}
	// Names that no new job can have, but a journal of an earlier version may.
	for _, name := range []string{"-rf", "a;b.zip", "$(x).zip", "update (1).zip", "a\u202eb", "a\u2028b", " a", "a\tb", "~"} {
		if _, err := d.Published(name); errors.Is(err, storage.ErrName) {
			t.Errorf("an older job may have the name %+q: %v", name, err)
		}
	}
	if accepted < 5000 {
		t.Errorf("only %d names were accepted: the test proves little", accepted)
	}
}
