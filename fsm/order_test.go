package fsm_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// Every test on a rig checks the invariants; these tests make sure that the
// changes are made which the invariants are about.

func TestCheckpointComesBeforeABackOffAndOnACleanStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).ResetAt(interval+100), origintest.On(2).StallAt(2*interval+7)).begin()
		synctest.Wait() // in the back-off
		if got, want := r.checkpoints(), []int64{interval, interval + 100}; !slices.Equal(got, want) {
			t.Errorf("in the back-off: checkpoints at %v, want %v", got, want)
		}
		if s := r.Snapshot(); s.Durable != interval+100 {
			t.Errorf("in the back-off %d bytes are shown as durable", s.Durable)
		}
		<-r.origin.Stalled()
		synctest.Wait()
		p := r.process
		r.end()
		if got, want := p.checkpoints(), []int64{interval, interval + 100, 2 * interval, 2*interval + 7}; !slices.Equal(got, want) {
			t.Errorf("after the stop: checkpoints at %v, want %v", got, want)
		}
	})
}

// While an interval is committed, the next one is written and synced, and not
// more: the slower of the two decides.
func TestEachIntervalAndTheEndIsWrittenSyncedCommitted(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name         string
		disk, commit time.Duration
		want         string
	}{
		{"the journal is slower", 1 * ms, 10 * ms, "write,sync,commit 65536," +
			"write,sync,committed 65536,commit 131072," +
			"write,sync,committed 131072,commit 131077,committed 131077,"},
		{"the disk is slower", 10 * ms, 1 * ms, "write,sync,commit 65536,committed 65536," +
			"write,sync,commit 131072,committed 131072," +
			"write,sync,commit 131077,committed 131077,"},
	} {
		run(t, tt.name, func(t *testing.T) {
			r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 2*interval+5)})
			r.faults.set(func(op string, _ int64) error {
				switch op {
				case "write", "sync":
					time.Sleep(tt.disk)
				case "commit":
					time.Sleep(tt.commit)
				}
				return nil
			})
			r.begin()
			r.fetched()
			want := "update Downloading,open," + tt.want + "update Verifying,open,publish,update Ready"
			if got := strings.Join(r.history(), ","); got != want {
				t.Errorf("done was\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestEveryTransitionIsObservedOnceAndInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		must(t, r.Reset(t.Context()))
		var states []fsm.State
		var offsets []int64
		for _, s := range r.shown() {
			states = append(states, s.State)
			offsets = append(offsets, s.Durable)
		}
		states = slices.Compact(states)
		if want := []fsm.State{fsm.Downloading, fsm.Verifying, fsm.Ready, fsm.Idle}; !slices.Equal(states, want) {
			t.Errorf("observed %v, want %v", states, want)
		}
		if up := offsets[:len(offsets)-1]; !slices.IsSorted(up) {
			t.Errorf("observed offsets go back: %v", up)
		}
	})
}

// Also where a checkpoint is made of several blocks: the bytes between two
// checkpoints are covered by the tail of the later one only.
func TestTailReachesBackToTheCheckpointBefore(t *testing.T) {
	const wide = 1 << 20
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 2*wide+700_000)})
		r.cfg.Checkpoint = wide
		r.begin()
		r.fetched()
		_, checkpoints, err := journal.Peek(r.dir)
		if err != nil || len(checkpoints) != 3 {
			t.Fatalf("%d checkpoints, %v", len(checkpoints), err)
		}
		for i, tail := range []int64{700_000, wide, wide} {
			if cp := checkpoints[i]; cp.Tail != tail {
				t.Errorf("the checkpoint at %d covers %d bytes, want %d", cp.Offset, cp.Tail, tail)
			}
		}
	})
}
