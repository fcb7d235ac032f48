package journal_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/journal"
)

func TestPeekReturnsWhatTheOwnerReads(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = fullRecord() })
	mustCommit(t, j, checkpointAt(1))
	record, checkpoints, err := journal.Peek(dir) // while j is open
	if err != nil || !sameJSON(t, record, j.Record()) || !sameJSON(t, checkpoints, j.Checkpoints()) {
		t.Errorf("Peek = %+v, %+v, %v", record, checkpoints, err)
	}
}

func TestPeekChangesNothing(t *testing.T) {
	for name, file := range map[string][]byte{
		"a journal":     soundJournal(t),
		"a damaged one": []byte("not a journal"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			overwrite(t, dir, file)
			_, _, err := journal.Peek(dir)
			if wantErr := len(file) < 100; (err != nil) != wantErr {
				t.Errorf("Peek = %v", err)
			}
			wantFiles(t, dir, journal.FileName)
			if got := readFile(t, dir); string(got) != string(file) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestPeekWithoutAJournal(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "missing")} {
		if _, _, err := journal.Peek(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Peek(%s) = %v, want fs.ErrNotExist", path, err)
		}
	}
	wantFiles(t, dir)
}

// TestPeekUnderARunningWriter reads a journal while another process writes to
// it as fast as it can. Each result must be one of the states that were
// written.
func TestPeekUnderARunningWriter(t *testing.T) {
	dir := fastDir(t)
	stop := startChild(t, "write", dir)
	var last uint64
	changes := 0
	for peeks := 0; peeks < 200 || changes < 10; peeks++ {
		r, checkpoints, err := journal.Peek(dir)
		if err != nil {
			t.Fatal(err)
		}
		if r.Error != textOf(r.OutboxSeq) || r.OutboxSeq < last {
			t.Fatalf("read record %d after %d with text %.20q", r.OutboxSeq, last, r.Error)
		}
		for _, cp := range checkpoints {
			if want := checkpointAt(cp.Offset); string(cp.Digest) != string(want.Digest) || cp.TailCRC != want.TailCRC {
				t.Fatalf("read a checkpoint that was never written: %+v", cp)
			}
		}
		if r.OutboxSeq != last {
			changes++
		}
		last = r.OutboxSeq
	}
	stop()
}

// writeChild writes records and checkpoints until its input ends.
func writeChild(args []string) error {
	j, err := openPath(args[0], journal.Options{})
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		close(done)
	}()
	for n := uint64(1); ; n++ {
		_, err := j.Update(func(r *journal.Record) {
			*r = worstCase(int(n%17), byte(n))
			r.OutboxSeq, r.Error = n, textOf(n)
		})
		if err := errors.Join(err, j.Commit(checkpointAt(int64(n)))); err != nil {
			return err
		}
		if n == 1 {
			fmt.Println("ready")
		}
		select {
		case <-done:
			return j.Close()
		default:
		}
	}
}

func textOf(n uint64) string {
	return strings.Repeat(string('a'+rune(n%26)), int(n%500)) + fmt.Sprint(n)
}

// soundJournal returns a small, sound journal file.
func soundJournal(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = recordWithoutPublished() }) // inside the page of the buckets
	mustCommit(t, j, checkpointAt(1))
	j.Close()
	return readFile(t, dir)
}
