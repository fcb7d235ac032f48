package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"otad/journal"
)

const signature = "X-Amz-Signature=0123456789abcdef"

// signedRecord has a URL of so many bytes that ends in a signature.
func signedRecord(length int) journal.Record {
	r := journal.Record{State: "Downloading", Job: goodJob()}
	r.Job.URL = "https://example.com/" + strings.Repeat("u", length) + "?" + signature
	return r
}

// makeReady drops the URL, as the machine does when a package is Ready.
func makeReady(r *journal.Record) {
	r.State = "Ready"
	r.Job.URL = ""
}

// holding returns the files of the directory that hold text.
func holding(t *testing.T, dir, text string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			names = append(names, e.Name())
		}
	}
	return names
}

// A URL of any length is in one page or in two, in pages of their own or among
// the buckets, and in several copies of them.
func TestNoURLOutlivesReady(t *testing.T) {
	for _, length := range []int{10, 500, 1500, 3800, 3950} {
		for _, commits := range []int{0, 1, 7} {
			t.Run(fmt.Sprint(length, " bytes, ", commits, " commits"), func(t *testing.T) {
				dir := t.TempDir()
				j := mustOpen(t, dir)
				for i := range commits {
					mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(length); r.Restarts = i })
					mustCommit(t, j, checkpointAt(int64(i)))
				}
				mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(length) })
				mustUpdate(t, j, makeReady)
				if got := holding(t, dir, signature); got == nil {
					t.Fatal("the signature is not in a page that is not in use: the test proves nothing")
				}
				if err := j.Scrub(); err != nil {
					t.Fatal(err)
				}
				if got := holding(t, dir, signature); got != nil {
					t.Errorf("the signature is in %q", got)
				}
				before := readFile(t, dir)
				if err := j.Scrub(); err != nil || !bytes.Equal(before, readFile(t, dir)) {
					t.Errorf("with nothing to do the file is written to: %v", err)
				}
				j = reopened(t, dir, j, j.Record(), j.Checkpoints())
				if err := j.Scrub(); err != nil || !bytes.Equal(before, readFile(t, dir)) {
					t.Errorf("at the next start the file is written to: %v", err)
				}
				mustUpdate(t, j, func(r *journal.Record) { *r = worstCase(16, 1) })
				mustCommit(t, j, checkpointAt(9))
				reopened(t, dir, j, j.Record(), j.Checkpoints())
			})
		}
	}
}

// A process that ends between Ready and its Scrub leaves the rest to the next.
func TestScrubIsDoneAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(50) })
	mustUpdate(t, j, makeReady)
	j = reopened(t, dir, j, j.Record(), nil)
	if holding(t, dir, signature) == nil {
		t.Fatal("the signature is gone before Scrub")
	}
	if err := j.Scrub(); err != nil {
		t.Error(err)
	}
	if got := holding(t, dir, signature); got != nil {
		t.Errorf("the signature is in %q", got)
	}
}

// The URL that another one replaces goes, and the new one stays.
func TestReplacedURLIsScrubbed(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(50) })
	mustUpdate(t, j, func(r *journal.Record) { r.Job.URL = "https://example.com/?new" })
	if err := j.Scrub(); err != nil {
		t.Error(err)
	}
	if old, now := holding(t, dir, signature), holding(t, dir, "?new"); old != nil || now == nil {
		t.Errorf("the old signature is in %q, the new one in %q", old, now)
	}
	reopened(t, dir, j, j.Record(), nil)
}

// Where a signature is fetched from may be a key as well.
func TestSignatureURLIsScrubbed(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) {
		*r = journal.Record{State: "Downloading", Job: goodJob()}
		r.Job.SignatureURL = "https://example.com/u.zip.minisig?" + signature
	})
	mustUpdate(t, j, func(r *journal.Record) { r.Job.SignatureURL = "" })
	if err := j.Scrub(); err != nil {
		t.Error(err)
	}
	if old := holding(t, dir, signature); old != nil {
		t.Errorf("the signature is in %q", old)
	}
}

// TestScrubCutShort writes every state that a power cut in a Scrub can leave:
// each of the pages is written or not.
func TestScrubCutShort(t *testing.T) {
	dir := fastDir(t)
	j := mustOpen(t, dir)
	for i := range int64(5) {
		mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(3900); r.Restarts = int(i) })
		mustCommit(t, j, checkpointAt(i))
	}
	mustUpdate(t, j, makeReady)
	before, want := readFile(t, dir), stateOf(j)
	if err := j.Scrub(); err != nil {
		t.Fatal(err)
	}
	after := readFile(t, dir)
	j.Close()
	pages := changedPages(before, after)
	data := slices.DeleteFunc(slices.Clone(pages), func(p int) bool { return p < 2 })
	if len(data) < 4 {
		t.Fatalf("only the pages %v changed", pages)
	}
	for _, meta := range []bool{false, true} {
		for subset := range 1 << len(data) {
			file := bytes.Clone(before)
			if meta { // durable, with the free list, before a page is overwritten
				for _, p := range pages {
					if p < 2 || !bytes.Equal(after[p*journal.PageSize:][:journal.PageSize], make([]byte, journal.PageSize)) {
						copy(file[p*journal.PageSize:], after[p*journal.PageSize:][:journal.PageSize])
					}
				}
			}
			for i, p := range data {
				isZero := bytes.Equal(after[p*journal.PageSize:][:journal.PageSize], make([]byte, journal.PageSize))
				if subset>>i&1 == 1 && (meta || !isZero) {
					copy(file[p*journal.PageSize:][:journal.PageSize], after[p*journal.PageSize:])
				}
			}
			overwrite(t, dir, file)
			j := mustOpen(t, dir)
			if got := stateOf(j); got != want || j.Recovery().Result != journal.Clean {
				t.Fatalf("meta %v, pages %b: %+v, holds %.80s", meta, subset, j.Recovery(), got)
			}
			if subset%16 == 0 {
				if err := j.Scrub(); err != nil {
					t.Error(err)
				}
				if got := holding(t, dir, signature); got != nil {
					t.Errorf("meta %v, pages %b: the signature is in %q", meta, subset, got)
				}
			}
			j.Close()
		}
	}
}

// A journal that was set aside may hold a URL as well. It is for the owner's
// eyes, and goes once a package is Ready.
func TestJournalThatWasSetAsideGoesWithReady(t *testing.T) {
	aside := func(t *testing.T) (dir string, j *journal.Journal) {
		dir = t.TempDir()
		j = mustOpen(t, dir)
		mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(50) })
		j.Close()
		file := readFile(t, dir)
		clear(file[:2*journal.PageSize])
		overwrite(t, dir, file)
		if err := os.Chmod(filepath.Join(dir, journal.FileName), 0o644); err != nil {
			t.Fatal(err)
		}
		j = mustOpen(t, dir)
		if got := j.Recovery().Result; got != journal.SetAside {
			t.Fatal(got)
		}
		return dir, j
	}
	t.Run("by the process that sees Ready", func(t *testing.T) {
		dir, j := aside(t)
		if st, err := os.Stat(filepath.Join(dir, "journal.db.corrupt")); err != nil || st.Mode() != 0o600 {
			t.Errorf("%v %v", st.Mode(), err)
		}
		mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(60) })
		mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(70) })
		if err := j.Scrub(); err != nil {
			t.Error(err)
		}
		wantFiles(t, dir, journal.FileName, "journal.db.corrupt")
		mustUpdate(t, j, makeReady)
		if err := j.Scrub(); err != nil {
			t.Error(err)
		}
		wantFiles(t, dir, journal.FileName)
	})
	t.Run("by the next process", func(t *testing.T) {
		dir, j := aside(t)
		mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(60) })
		mustUpdate(t, j, makeReady)
		j = reopened(t, dir, j, j.Record(), nil)
		if err := j.Scrub(); err != nil {
			t.Error(err)
		}
		wantFiles(t, dir, journal.FileName)
		if got := holding(t, dir, signature); got != nil {
			t.Errorf("the signature is in %q", got)
		}
	})
}

// So does one that is found beside a package that is Ready.
func TestJournalThatWasSetAsideEarlier(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(60) })
	mustUpdate(t, j, makeReady)
	if err := j.Scrub(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "journal.db.corrupt"), []byte(signature), 0o600); err != nil {
		t.Fatal(err)
	}
	j = reopened(t, dir, j, j.Record(), nil)
	if err := j.Scrub(); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, journal.FileName)
}

// An error leaves the record as it is, and the Scrub due.
func TestScrubThatFails(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = signedRecord(50) })
	mustUpdate(t, j, makeReady)
	if err := os.Truncate(filepath.Join(dir, journal.FileName), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := j.Scrub(); !errors.Is(err, journal.ErrUnusable) {
			t.Errorf("Scrub = %v", err)
		}
	}
	if j.Record().State != "Ready" {
		t.Errorf("%+v", j.Record())
	}
}
