package fsm_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"otad/journal"
)

// edit changes the journal while nothing runs.
func (r *rig) edit(change func(*journal.Journal) error) {
	r.t.Helper()
	dir, err := os.Open(r.dir)
	must(r.t, err)
	defer dir.Close()
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer j.Close()
	if err := change(j); err != nil {
		r.t.Fatal(err)
	}
}

// record is what the journal holds, read from its file.
func (r *rig) record() (journal.Record, int64) {
	r.t.Helper()
	rec, cps, err := journal.Peek(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec, newest(cps)
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) exists(name string) bool {
	_, err := os.Lstat(r.path(name))
	return err == nil
}

// wantOnlyJournal fails the test when a partial file or a package is left.
func (r *rig) wantOnlyJournal() {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil || len(entries) != 2 { // the journal and its lock
		r.t.Errorf("in the state directory are %v, %v; want the journal alone", entries, err)
	}
}

// left is what the job of that name has left in the state directory: "nothing",
// "published", "part 300000", or both of the latter.
func (r *rig) left(name string) string {
	var out []string
	if r.exists(name) {
		out = append(out, "published")
	}
	if st, err := os.Stat(r.path(name + ".otad-part")); err == nil {
		out = append(out, "part "+strconv.FormatInt(st.Size(), 10))
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, " and ")
}
