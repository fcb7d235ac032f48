package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"otad/journal"
)

const (
	block          = 1 << 20
	commitBytes    = 3 * journal.PageSize
	countedCommits = 100
)

// TestCheckpointCostsThreePages counts what a checkpoint writes, with the
// largest record beside it.
//
// It counts in a child process and there on one thread. In the test process
// other writes would be counted along: go test has it keep a log of all
// environment variables read, and bbolt reads BBOLT_VERIFY in each commit, so
// every few commits 4096 bytes of that log are flushed.
func TestCheckpointCostsThreePages(t *testing.T) {
	out := runChild(t, childCommand(t, "count", t.TempDir()))
	var got writes
	if _, err := fmt.Sscan(out, &got.bytes, &got.calls); err != nil {
		t.Fatalf("the child printed %q: %v", out, err)
	}
	if got.bytes == 0 || got.bytes > countedCommits*commitBytes {
		t.Errorf("%d bytes for %d checkpoints, want at most %d", got.bytes, countedCommits, countedCommits*commitBytes)
	}
	if got.calls == 0 || got.calls > countedCommits*3 {
		t.Errorf("%d writes for %d checkpoints, want at most %d", got.calls, countedCommits, countedCommits*3)
	}
	if commitBytes*100 > 2*block {
		t.Errorf("%d bytes are more than 2 %% of a block", commitBytes)
	}
}

// countChild prints the bytes and the write calls of countedCommits
// checkpoints. The journal writes in the goroutine that calls it.
func countChild(args []string) error {
	// The thread belongs to this goroutine, and there is no garbage collection:
	// the thread then does no work for the Go runtime, whose wake-ups are
	// writes.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	j, err := openPath(args[0], journal.Options{})
	if err != nil {
		return err
	}
	if _, err := j.Update(func(r *journal.Record) { *r = worstCase(16, 0) }); err != nil {
		return err
	}
	checkpoints := make([]journal.Checkpoint, countedCommits)
	for i := range checkpoints {
		checkpoints[i] = checkpointAt(int64(i) << 20)
	}
	before, err := written()
	if err != nil {
		fmt.Println("skip:", err)
		return nil
	}
	for _, cp := range checkpoints {
		if err := j.Commit(cp); err != nil {
			return err
		}
	}
	after, err := written()
	fmt.Println(after.bytes-before.bytes, after.calls-before.calls)
	return errors.Join(err, j.Close())
}

// TestCheckpointChangesThreePages checks the same in the file.
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

// written returns what this thread has written so far, to any file.
func written() (writes, error) {
	text, err := os.ReadFile("/proc/thread-self/io")
	if err != nil {
		return writes{}, err
	}
	var w writes
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "wchar: %d", &w.bytes)
		fmt.Sscanf(line, "syscw: %d", &w.calls)
	}
	return w, nil
}

// TestFileNeverGrows writes records of all sizes and checkpoints, and reopens
// the journal now and then. Which free pages bbolt uses depends on all earlier
// transactions, so a layout that can grow grows sooner or later.
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

// TestFileHasNoHoles checks that every byte has space from the creation on.
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
