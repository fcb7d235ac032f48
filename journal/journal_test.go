package journal_test

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"otad/journal"
)

func TestContentsAfterReopening(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = fullRecord() })
	for i := range int64(2) {
		mustCommit(t, j, checkpointAt(i<<20))
	}
	record, checkpoints := j.Record(), j.Checkpoints()
	if !reflect.DeepEqual(record, fullRecord()) {
		t.Errorf("record %+v", record)
	}
	want := []journal.Checkpoint{checkpointAt(1 << 20), checkpointAt(0)}
	want[0].Seq, want[0].Generation = 2, fullRecord().Generation
	want[1].Seq, want[1].Generation = 1, fullRecord().Generation
	if !reflect.DeepEqual(checkpoints, want) {
		t.Errorf("checkpoints %+v, want %+v", checkpoints, want)
	}
	reopened(t, dir, j, record, checkpoints)
}

func TestUpdateReturnsTheDurableRecord(t *testing.T) {
	j := mustOpen(t, t.TempDir())
	got, err := j.Update(func(r *journal.Record) { r.Error = strings.Repeat("e", 600) })
	if err != nil || len(got.Error) != journal.MaxText || !reflect.DeepEqual(got, j.Record()) {
		t.Errorf("Update = %d bytes of error, %v; Record has %d", len(got.Error), err, len(j.Record().Error))
	}
}

func TestUpdateThatCannotBeStoredChangesNothing(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = fullRecord() })
	got, err := j.Update(func(r *journal.Record) {
		r.Generation++
		r.Outbox[0].Message = "changed in place"
		r.Job.URL = strings.Repeat("\x01", journal.MaxURL)
	})
	if !errors.Is(err, journal.ErrTooLarge) || !reflect.DeepEqual(got, fullRecord()) {
		t.Errorf("Update = %+v, %v", got, err)
	}
	reopened(t, dir, j, fullRecord(), nil)
}

func TestReturnedRecordsShareNoMemory(t *testing.T) {
	j := mustOpen(t, t.TempDir())
	var inside *journal.Record
	mustUpdate(t, j, func(r *journal.Record) { *r, inside = fullRecord(), r })
	updated := mustUpdate(t, j, func(r *journal.Record) {})
	mustCommit(t, j, checkpointAt(1))
	list := j.Checkpoints()
	for _, r := range []journal.Record{j.Record(), updated, *inside} {
		r.Outbox[0].Message = "overwritten"
		r.PendingDeletes[0] = "overwritten"
	}
	list[0].Digest[0] ^= 0xff
	if got := j.Record(); !reflect.DeepEqual(got, fullRecord()) {
		t.Errorf("record %+v", got)
	}
	if got := j.Checkpoints()[0].Digest; reflect.DeepEqual(got, list[0].Digest) {
		t.Error("the digest was changed from outside")
	}
}

func TestReadersDoNotWaitForAWriter(t *testing.T) {
	j := mustOpen(t, t.TempDir())
	mustUpdate(t, j, func(r *journal.Record) {
		r.State = "Downloading"
		if got := j.Record().State; got != "" { // would deadlock
			t.Errorf("state %q before it is durable", got)
		}
		j.Checkpoints()
	})
}

func TestConcurrentUpdatesAllCount(t *testing.T) {
	j := mustOpen(t, t.TempDir())
	var all sync.WaitGroup
	const writers, each = 4, 10
	for range writers {
		all.Go(func() {
			for range each {
				mustUpdate(t, j, func(r *journal.Record) { r.OutboxSeq++ })
				mustCommit(t, j, checkpointAt(1))
				j.Record()
				j.Checkpoints()
			}
		})
	}
	all.Wait()
	if got := j.Record().OutboxSeq; got != writers*each {
		t.Errorf("%d updates counted, want %d", got, writers*each)
	}
	if got := j.Checkpoints()[0].Seq; got != writers*each {
		t.Errorf("newest checkpoint is %d, want %d", got, writers*each)
	}
}

// TestWritersWaitForEachOther starts a second write in the middle of an update.
// A write that does not wait builds on the contents before the update, and one
// of the two is lost.
func TestWritersWaitForEachOther(t *testing.T) {
	for name, write := range map[string]func(*journal.Journal) error{
		"Update": func(j *journal.Journal) error {
			_, err := j.Update(func(r *journal.Record) { r.Restarts++ })
			return err
		},
		"Commit": func(j *journal.Journal) error { return j.Commit(checkpointAt(7)) },
		"Rewind": func(j *journal.Journal) error { return j.Rewind(checkpointAt(7)) },
	} {
		t.Run(name, func(t *testing.T) {
			j := mustOpen(t, fastDir(t))
			done := make(chan error, 1)
			mustUpdate(t, j, func(r *journal.Record) {
				r.OutboxSeq = 1
				go func() { done <- write(j) }()
				select {
				case err := <-done:
					t.Errorf("did not wait, and returned %v", err)
					done <- err
				case <-time.After(50 * time.Millisecond): // longer than a write in memory
				}
			})
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if r := j.Record(); r.OutboxSeq != 1 || r.Restarts+len(j.Checkpoints()) != 1 {
				t.Errorf("%+v and %v are left of two writes", r, j.Checkpoints())
			}
		})
	}
}

func TestThreeNewestCheckpointsAreKept(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	for i := range int64(10) {
		mustCommit(t, j, checkpointAt(i))
		wantOffsets(t, j, i, i-1, i-2)
	}
	checkpoints := j.Checkpoints()
	j = reopened(t, dir, j, journal.Record{}, checkpoints)
	mustCommit(t, j, checkpointAt(10))
	wantOffsets(t, j, 10, 9, 8)
	if got := j.Checkpoints()[0].Seq; got != 11 {
		t.Errorf("the eleventh checkpoint has Seq %d", got)
	}
}

func TestCommitRefusesToMoveBackwards(t *testing.T) {
	j := mustOpen(t, t.TempDir())
	mustCommit(t, j, checkpointAt(10))
	if err := j.Commit(checkpointAt(9)); !errors.Is(err, journal.ErrBackwards) {
		t.Errorf("Commit = %v, want ErrBackwards", err)
	}
	mustCommit(t, j, checkpointAt(10))
	wantOffsets(t, j, 10, 10)
}

func TestImpossibleCheckpointsAreRefused(t *testing.T) {
	j := mustOpen(t, t.TempDir())
	for name, cp := range map[string]journal.Checkpoint{
		"a negative offset":       {Offset: -1},
		"a negative tail":         {Tail: -1},
		"a tail before the start": {Offset: 1, Tail: 2},
		"too much digest":         {Digest: make([]byte, journal.MaxDigest+1)},
	} {
		if err := j.Commit(cp); !errors.Is(err, journal.ErrCheckpoint) && !errors.Is(err, journal.ErrBackwards) {
			t.Errorf("Commit with %s = %v", name, err)
		}
		if err := j.Rewind(cp); !errors.Is(err, journal.ErrCheckpoint) {
			t.Errorf("Rewind with %s = %v", name, err)
		}
	}
	wantOffsets(t, j)
}

func TestRewindLeavesOneCheckpoint(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	for i := range int64(5) {
		mustCommit(t, j, checkpointAt(100+i))
	}
	if err := j.Rewind(checkpointAt(7)); err != nil {
		t.Fatal(err)
	}
	wantOffsets(t, j, 7)
	j = reopened(t, dir, j, journal.Record{}, j.Checkpoints())
	mustCommit(t, j, checkpointAt(8))
	wantOffsets(t, j, 8, 7)
}

func TestReplaceChangesTheRecordAndItsCheckpointsInOneTransaction(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	for i := range int64(3) {
		mustCommit(t, j, checkpointAt(100+i))
	}
	before := readFile(t, dir)
	next := func(r *journal.Record) { r.Generation++; r.Staged = 4096 }
	if rec, err := j.Replace(checkpointAt(7), next); err != nil || rec.Generation != 1 || rec.Staged != 4096 {
		t.Fatal(rec, err)
	}
	if n := len(metaPages(changedPages(before, readFile(t, dir)))); n != 1 {
		t.Errorf("%d meta pages changed: that was not one transaction", n)
	}
	wantOffsets(t, j, 7)
	if _, err := j.Replace(journal.Checkpoint{Offset: -1}, next); !errors.Is(err, journal.ErrCheckpoint) || j.Record().Generation != 1 {
		t.Errorf("%v, and the record is %+v", err, j.Record())
	}
	mustCommit(t, j, checkpointAt(8))
	wantOffsets(t, j, 8, 7)
	reopened(t, dir, j, journal.Record{Generation: 1, Staged: 4096}, j.Checkpoints())
}

func TestNewGenerationDropsTheCheckpointsInTheSameTransaction(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	for i := range int64(3) {
		mustCommit(t, j, checkpointAt(100+i))
	}
	mustUpdate(t, j, func(r *journal.Record) { r.State = "Downloading" })
	wantOffsets(t, j, 102, 101, 100)
	before := readFile(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { r.Generation++ })
	wantOffsets(t, j)
	if n := len(metaPages(changedPages(before, readFile(t, dir)))); n != 1 {
		t.Errorf("%d meta pages changed: that was not one transaction", n)
	}
	j = reopened(t, dir, j, journal.Record{State: "Downloading", Generation: 1}, nil)
	mustCommit(t, j, checkpointAt(1))
	if got := j.Checkpoints()[0].Generation; got != 1 {
		t.Errorf("checkpoint of generation %d, want 1", got)
	}
}

func TestOnCommitIsCalledForEachDurableTransaction(t *testing.T) {
	var seen []time.Duration
	j, err := openPath(t.TempDir(), journal.Options{OnCommit: func(d time.Duration) { seen = append(seen, d) }})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	mustUpdate(t, j, func(r *journal.Record) {})
	mustCommit(t, j, checkpointAt(1))
	if err := j.Rewind(checkpointAt(0)); err != nil {
		t.Fatal(err)
	}
	_ = j.Commit(journal.Checkpoint{Offset: -1})
	_, _ = j.Update(func(r *journal.Record) { r.Job.URL = strings.Repeat("\x01", 5000) })
	if len(seen) != 3 || min(seen[0], seen[1], seen[2]) <= 0 {
		t.Errorf("called with %v, want three durations", seen)
	}
}

func TestWritesAfterCloseFail(t *testing.T) {
	j := mustOpen(t, t.TempDir())
	mustUpdate(t, j, func(r *journal.Record) { r.State = "Ready" })
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, err := j.Update(func(r *journal.Record) {}); err == nil {
		t.Error("Update succeeded")
	}
	if err := j.Commit(checkpointAt(1)); err == nil {
		t.Error("Commit succeeded")
	}
	if got := j.Record().State; got != "Ready" {
		t.Errorf("state %q", got)
	}
}

// TestTransactionAppliedThoughReportedAsFailed is for the one failure that
// bbolt cannot undo: the last sync fails when the new meta page is already in
// place. The next transaction must not build on it.
func TestTransactionAppliedThoughReportedAsFailed(t *testing.T) {
	ahead := fullRecord()
	ahead.Generation = 99
	lost := checkpointAt(77)
	lost.Seq, lost.Generation = 3, 99
	for name, write := range map[string]func(*journal.Journal){
		"then a checkpoint": func(j *journal.Journal) { mustCommit(t, j, checkpointAt(12)) },
		"then an update":    func(j *journal.Journal) { mustUpdate(t, j, func(r *journal.Record) { r.State = "Verifying" }) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir)
			mustUpdate(t, j, func(r *journal.Record) { *r = worstCase(16, 0) })
			mustCommit(t, j, checkpointAt(10))
			mustCommit(t, j, checkpointAt(11))
			if err := j.ApplyUnseen(ahead, lost); err != nil {
				t.Fatal(err)
			}
			write(j)
			reopened(t, dir, j, j.Record(), j.Checkpoints())
		})
	}
}

func TestCheckpointOfAnotherGenerationIsIgnored(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	stray, own := checkpointAt(9), checkpointAt(8)
	stray.Seq, stray.Generation = 2, 8
	own.Seq, own.Generation = 1, 7
	if err := j.ApplyUnseen(fullRecord(), stray, own); err != nil {
		t.Fatal(err)
	}
	j.Close()
	wantOffsets(t, mustOpen(t, dir), 8)
}
