package journal_test

import (
	"bytes"
	"fmt"
	"testing"

	"otad/journal"
)

// TestPowerCutDuringACommit builds every file that a power cut in the middle of
// a transaction can leave. Before the first sync any of the data pages may be
// written, in whole or in part. After it all are, and the meta page may be
// written in part. The journal must then have the state before or after.
func TestPowerCutDuringACommit(t *testing.T) {
	transactions := map[string]func(*testing.T, *journal.Journal){
		"checkpoint": func(t *testing.T, j *journal.Journal) { mustCommit(t, j, checkpointAt(500)) },
		"rewind": func(t *testing.T, j *journal.Journal) {
			if err := j.Rewind(checkpointAt(3)); err != nil {
				t.Fatal(err)
			}
		},
		"large record": func(t *testing.T, j *journal.Journal) {
			mustUpdate(t, j, func(r *journal.Record) { *r = worstCase(16, 9) })
		},
		"small record":   func(t *testing.T, j *journal.Journal) { mustUpdate(t, j, func(r *journal.Record) { r.Outbox = nil }) },
		"new generation": func(t *testing.T, j *journal.Journal) { mustUpdate(t, j, func(r *journal.Record) { r.Generation++ }) },
	}
	for name, transaction := range transactions {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			j := mustOpen(t, dir)
			mustUpdate(t, j, func(r *journal.Record) { *r = worstCase(12, 3) })
			for i := range int64(4) {
				mustCommit(t, j, checkpointAt(i))
			}
			cut := &powerCut{dir: dir, before: readFile(t, dir), old: stateOf(j)}
			transaction(t, j)
			cut.after, cut.new = readFile(t, dir), stateOf(j)
			if len(cut.before) != len(cut.after) {
				t.Fatal("the file grew")
			}
			j.Close()
			cut.run(t)
		})
	}
}

type powerCut struct {
	dir           string
	before, after []byte
	old, new      string // of stateOf
}

func (c *powerCut) run(t *testing.T) {
	pages := changedPages(c.before, c.after)
	metas := metaPages(pages)
	data := pages[len(metas):]
	if len(metas) != 1 || len(data) < 1 {
		t.Fatalf("pages %v changed: not one transaction", pages)
	}
	for subset := range 1 << len(data) {
		for _, sectors := range []int{8, 1, 7} { // of each page written
			file := bytes.Clone(c.before)
			for i, page := range data {
				if subset>>i&1 == 1 {
					c.write(file, page, sectors)
				}
			}
			c.open(t, file, fmt.Sprintf("data pages %b, %d sectors each", subset, sectors), c.old)
		}
	}
	for bytesOfMeta := 0; bytesOfMeta <= journal.PageSize; bytesOfMeta += 8 {
		file := bytes.Clone(c.before)
		for _, page := range data {
			c.write(file, page, 8)
		}
		at := metas[0] * journal.PageSize
		copy(file[at:at+bytesOfMeta], c.after[at:])
		c.open(t, file, fmt.Sprintf("%d bytes of the meta page", bytesOfMeta), c.old, c.new)
		if bytesOfMeta >= 128 {
			break // the rest is zeros before and after
		}
	}
	c.open(t, c.after, "everything", c.new)
}

func (c *powerCut) write(file []byte, page, sectors int) {
	at := page * journal.PageSize
	copy(file[at:at+512*sectors], c.after[at:])
}

func (c *powerCut) open(t *testing.T, file []byte, what string, want ...string) {
	t.Helper()
	overwrite(t, c.dir, file)
	j, err := openPath(c.dir, journal.Options{})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer j.Close()
	got := stateOf(j)
	ok := false
	for _, w := range want {
		ok = ok || got == w
	}
	if j.Recovery().Result != journal.Clean || !ok {
		t.Errorf("%s: %+v, holds %.80s, want %.80q", what, j.Recovery(), got, want)
	}
}

// stateOf returns the contents of a journal as a string to compare.
func stateOf(j *journal.Journal) string {
	return fmt.Sprintf("%+v %+v", j.Checkpoints(), j.Record())
}
