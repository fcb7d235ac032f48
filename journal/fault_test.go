package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"otad/journal"
)

// TestFaultOnTheMappedFileIsAnError truncates the file of an open journal. The
// process then gets SIGBUS, as it does for an I/O error of the medium.
func TestFaultOnTheMappedFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = fullRecord() })
	mustCommit(t, j, checkpointAt(1))
	if err := os.Truncate(filepath.Join(dir, journal.FileName), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := j.Commit(checkpointAt(2)); !errors.Is(err, journal.ErrUnusable) {
			t.Errorf("Commit = %v, want ErrUnusable", err)
		}
		if _, err := j.Update(func(r *journal.Record) { r.State = "Ready" }); !errors.Is(err, journal.ErrUnusable) {
			t.Errorf("Update = %v, want ErrUnusable", err)
		}
	}
	if got := j.Record(); !reflect.DeepEqual(got, fullRecord()) {
		t.Errorf("record %+v", got)
	}
	wantOffsets(t, j, 1)
	if err := j.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if got := mustOpen(t, dir).Recovery().Result; got != journal.SetAside { // the lock is released
		t.Errorf("recovery %v", got)
	}
}

// TestDamagedCheckpointIsLeftOut damages one checkpoint at a time.
func TestDamagedCheckpointIsLeftOut(t *testing.T) {
	tests := []struct {
		seq   uint64
		holds []int64 // offsets at the next start
		then  []int64 // and after two more commits
	}{
		{8, []int64{6, 5}, []int64{9, 8, 6}},
		{7, []int64{7, 5}, []int64{9, 8, 7}},
		{6, []int64{7, 6}, []int64{9, 8, 7}},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		j := mustOpen(t, dir)
		for i := range int64(8) {
			mustCommit(t, j, checkpointAt(i))
		}
		j.Close()
		flipCheckpoint(t, dir, tt.seq)
		j = mustOpen(t, dir)
		if got := j.Recovery().Result; got != journal.Clean {
			t.Errorf("recovery %v", got)
		}
		wantOffsets(t, j, tt.holds...)
		mustCommit(t, j, checkpointAt(8))
		reopened(t, dir, j, j.Record(), j.Checkpoints()).Close()
		j = mustOpen(t, dir)
		mustCommit(t, j, checkpointAt(9))
		wantOffsets(t, j, tt.then...)
		reopened(t, dir, j, j.Record(), j.Checkpoints())
	}
}

// flipCheckpoint flips a bit in every copy of a checkpoint in the file.
func flipCheckpoint(t *testing.T, dir string, seq uint64) {
	t.Helper()
	cp := checkpointAt(int64(seq - 1))
	cp.Seq = seq
	raw := journal.EncodeCheckpoint(cp)
	file := readFile(t, dir)
	found := 0
	for i := 0; i+len(raw) <= len(file); i++ {
		if string(file[i:i+len(raw)]) == string(raw) {
			file[i+20] ^= 1
			found++
		}
	}
	if found == 0 {
		t.Fatalf("checkpoint %d is not in the file", seq)
	}
	overwrite(t, dir, file)
}
