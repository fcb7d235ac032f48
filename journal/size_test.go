package journal_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"otad/journal"
)

const (
	block       = 1 << 20
	commitBytes = 3 * journal.PageSize
)

// TestCheckpointCostsThreePages counts what the process writes for a
// checkpoint, with the largest record beside it.
func TestCheckpointCostsThreePages(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = worstCase(16, 0) })
	const n = 100
	before := written(t)
	for i := range int64(n) {
		mustCommit(t, j, checkpointAt(i<<20))
	}
	after := written(t)
	if got := (after.bytes - before.bytes) / n; got > commitBytes {
		t.Errorf("%d bytes a checkpoint, want at most %d", got, commitBytes)
	}
	if got := (after.calls - before.calls) / n; got > 3 {
		t.Errorf("%d writes a checkpoint, want at most 3", got)
	}
	if commitBytes*100 > 2*block {
		t.Errorf("%d bytes are more than 2 %% of a block", commitBytes)
	}
}

// TestCheckpointChangesThreePages says the same from the file's side.
func TestCheckpointChangesThreePages(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = worstCase(16, 0) })
	for i := range int64(20) {
		before := readFile(t, dir)
		mustCommit(t, j, checkpointAt(i<<20))
		if got := changedPages(before, readFile(t, dir)); len(got) > 3 {
			t.Errorf("checkpoint %d changed the pages %v", i, got)
		}
	}
}

type writes struct{ bytes, calls int64 }

// written returns what this process has written so far, to anything.
func written(t *testing.T) writes {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	var w writes
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "wchar: %d", &w.bytes)
		fmt.Sscanf(line, "syscw: %d", &w.calls)
	}
	return w
}

// TestFileNeverGrows writes records of all sizes, with checkpoints in between,
// reopening now and then. Which of its pages bbolt takes depends on all that
// was before, so a layout that can grow does so sooner or later.
func TestFileNeverGrows(t *testing.T) {
	dir := fastDir(t)
	j := mustOpen(t, dir)
	rng := seeded(1)
	sizes := map[int]bool{}
	for i := range 5000 {
		step(t, j, rng, i)
		if i%500 == 499 {
			j = reopened(t, dir, j, j.Record(), j.Checkpoints())
		}
		if got := len(readFile(t, dir)); got != journal.Reserved {
			t.Fatalf("%d bytes after %d writes, want %d", got, i+1, journal.Reserved)
		}
		sizes[len(j.Record().Outbox)] = true
	}
	if len(sizes) != journal.MaxOutbox+1 {
		t.Errorf("only %d lengths of the outbox were tried", len(sizes))
	}
}

func step(t *testing.T, j *journal.Journal, rng *rand.Rand, i int) {
	switch rng.IntN(8) {
	case 0, 1, 2:
		mustUpdate(t, j, func(r *journal.Record) { *r = worstCase(rng.IntN(17), byte(i)) })
	case 3:
		mustUpdate(t, j, func(r *journal.Record) { *r = journal.Record{Generation: uint64(i)} })
	case 4:
		if err := j.Rewind(checkpointAt(int64(i))); err != nil {
			t.Error(err)
		}
	default:
		mustCommit(t, j, checkpointAt(int64(i)))
	}
}

// TestFileHasNoHoles checks that space for every byte was claimed at creation.
func TestFileHasNoHoles(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	blocks := allocated(t, dir)
	if blocks < journal.Reserved {
		t.Errorf("%d bytes are allocated, want %d", blocks, journal.Reserved)
	}
	if !bytes.HasSuffix(readFile(t, dir), make([]byte, journal.PageSize)) {
		t.Error("the end of a new file is not zero")
	}
}

func BenchmarkCommit(b *testing.B)       { benchmarkCommit(b, checkpointAt(1).Digest[:104]) }
func BenchmarkCommitSHA256(b *testing.B) { benchmarkCommit(b, checkpointAt(1).Digest) }

func benchmarkCommit(b *testing.B, digest []byte) {
	j := mustOpen(b, b.TempDir())
	mustUpdate(b, j, func(r *journal.Record) { *r = fullRecord() })
	cp := journal.Checkpoint{Digest: digest}
	b.ReportAllocs()
	for b.Loop() {
		cp.Offset += block
		mustCommit(b, j, cp)
	}
}
