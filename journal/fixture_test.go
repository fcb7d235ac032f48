package journal_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"otad/hashing"
	"otad/journal"
)

// checkpointAt returns a checkpoint of the maximum size, with the states of MD5
// and SHA-256. They differ for each offset.
func checkpointAt(offset int64) journal.Checkpoint {
	d := hashing.New(hashing.MD5 | hashing.SHA256)
	fmt.Fprint(d, offset)
	return journal.Checkpoint{Offset: offset, Tail: min(offset, 1<<20), TailCRC: uint32(offset) * 7, Digest: d.AppendState(nil)}
}

// openPath opens the journal in the directory of that path. The descriptor of
// the directory is closed when the journal is garbage.
func openPath(path string, o journal.Options) (*journal.Journal, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return journal.Open(dir, o)
}

func mustOpen(t testing.TB, dir string) *journal.Journal {
	t.Helper()
	j, err := openPath(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func mustUpdate(t testing.TB, j *journal.Journal, fn func(*journal.Record)) journal.Record {
	t.Helper()
	r, err := j.Update(fn)
	if err != nil {
		t.Error(err)
	}
	return r
}

func mustCommit(t testing.TB, j *journal.Journal, cp journal.Checkpoint) {
	t.Helper()
	if err := j.Commit(cp); err != nil {
		t.Error(err)
	}
}

// reopened closes j, opens it again and checks its contents.
func reopened(t *testing.T, dir string, j *journal.Journal, record journal.Record, checkpoints []journal.Checkpoint) *journal.Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, dir)
	if got := j.Recovery(); got.Result != journal.Clean {
		t.Errorf("recovery %+v", got)
	}
	if got := j.Record(); !sameJSON(t, got, record) {
		t.Errorf("record after reopening\n%+v, want\n%+v", got, record)
	}
	if got := j.Checkpoints(); !sameJSON(t, got, checkpoints) && len(got)+len(checkpoints) > 0 {
		t.Errorf("checkpoints after reopening\n%+v, want\n%+v", got, checkpoints)
	}
	return j
}

// wantOffsets checks the offsets of the checkpoints, newest first. A negative
// offset stands for no checkpoint.
func wantOffsets(t *testing.T, j *journal.Journal, want ...int64) {
	t.Helper()
	var got, expect []int64
	for _, cp := range j.Checkpoints() {
		got = append(got, cp.Offset)
	}
	for _, o := range want {
		if o >= 0 {
			expect = append(expect, o)
		}
	}
	if !reflect.DeepEqual(got, expect) {
		t.Errorf("checkpoints at %v, want %v", got, expect)
	}
}

func readFile(t testing.TB, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// changedPages returns the numbers of the pages in which a and b differ.
func changedPages(a, b []byte) []int {
	var list []int
	for i := 0; i < max(len(a), len(b)); i += journal.PageSize {
		x, y := a[min(i, len(a)):min(i+journal.PageSize, len(a))], b[min(i, len(b)):min(i+journal.PageSize, len(b))]
		if string(x) != string(y) {
			list = append(list, i/journal.PageSize)
		}
	}
	return list
}

func metaPages(pages []int) (list []int) {
	for _, p := range pages {
		if p < 2 {
			list = append(list, p)
		}
	}
	return list
}

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 1)) }
