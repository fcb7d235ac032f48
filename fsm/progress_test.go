package fsm_test

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

func TestPercentIsRoundedDown(t *testing.T) {
	tests := []struct {
		durable, size int64
		want          int
	}{
		{0, 0, 0},
		{0, 200, 0},
		{1, 200, 0},
		{2, 200, 1},
		{199, 200, 99},
		{200, 200, 100},
		{5, 0, 0}, // size not known yet
		{999_999_999, 1_000_000_000, 99},
		{math.MaxInt64 / 2, math.MaxInt64, 49},
		{math.MaxInt64 - 1, math.MaxInt64, 99},
	}
	for _, tt := range tests {
		rec := journal.Record{State: string(fsm.Downloading), Job: journal.Job{Name: "u.bin", Size: tt.size}}
		if s := fsm.SnapshotOf(rec, []journal.Checkpoint{{Offset: tt.durable}}); s.Progress != tt.want {
			t.Errorf("%d of %d bytes are %d %%, want %d", tt.durable, tt.size, s.Progress, tt.want)
		}
	}
}

func TestProgressOfEachState(t *testing.T) {
	half := []journal.Checkpoint{{Offset: 50}}
	for state, want := range map[fsm.State]int{"": 0, fsm.Idle: 0, fsm.Downloading: 50, fsm.Verifying: 100, fsm.Ready: 100, fsm.Failed: 50} {
		s := fsm.SnapshotOf(journal.Record{State: string(state), Job: journal.Job{Name: "u.bin", Size: 100}}, half)
		if s.Progress != want || s.ETA != -1 || s.BytesPerSecond != 0 || s.Message == "" {
			t.Errorf("%q at rest is shown as %+v, want %d %%", state, s, want)
		}
	}
}

func TestRateFollowsTheLinkAndFallsToZeroInAStall(t *testing.T) {
	const speed, size, stall = 100_000, 4_000_000, 2_000_000
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, size),
			Link: origintest.Link{BytesPerSecond: speed}, Script: []*origintest.Rule{origintest.On(1).StallAt(stall)}})
		r.begin()
		time.Sleep(10*time.Second + 500*time.Millisecond)
		synctest.Wait()
		s := r.Snapshot()
		if s.BytesPerSecond < speed*95/100 || s.BytesPerSecond > speed*105/100 {
			t.Errorf("at %d bytes a second %d are shown", speed, s.BytesPerSecond)
		}
		if want := time.Duration((size-s.Durable)/s.BytesPerSecond) * time.Second; s.ETA != want {
			t.Errorf("%v are left, want %v", s.ETA, want)
		}
		<-r.origin.Stalled()
		last := r.Snapshot().BytesPerSecond
		for range 11 {
			time.Sleep(time.Second)
			now := r.Snapshot().BytesPerSecond
			if now > last {
				t.Errorf("in a stall the rate rises from %d to %d", last, now)
			}
			last = now
		}
		if s := r.Snapshot(); s.BytesPerSecond != 0 || s.ETA != -1 {
			t.Errorf("eleven seconds into a stall %d bytes a second are shown, %v left", s.BytesPerSecond, s.ETA)
		}
	})
}

// One byte a second and a package of 9.3 GB: more time than a Duration holds.
func TestTimeLeftIsUnknownRatherThanNegative(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: origintest.Object{Size: 1 << 34, Seed: 1},
			Script: []*origintest.Rule{origintest.Always().Drip(1, time.Second)}})
		r.boot()
		r.start(journal.Job{Name: "u.bin", URL: r.origin.URL(), Size: 1 << 34,
			MD5: "00000000000000000000000000000000"}) // nobody gets that far
		time.Sleep(20 * time.Second)
		if s := r.Snapshot(); s.BytesPerSecond != 1 || s.ETA != -1 {
			t.Errorf("at %d byte a second %v are left", s.BytesPerSecond, s.ETA)
		}
	})
}

func TestSnapshotDoesNotWaitForTheDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		slow := make(chan struct{})
		r.faults.set(func(op string, _ int64) error {
			if op == "sync" || op == "commit" {
				<-slow
			}
			return nil
		})
		r.begin()
		synctest.Wait()
		if s := r.Snapshot(); s.State != fsm.Downloading || s.Durable != 0 {
			t.Errorf("in the middle of a sync %+v is shown", s)
		}
		close(slow)
		r.fetched()
	})
}

func TestReadbackFindsABitThatFlippedOnTheMedium(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Readback = true
		r.boot()
		r.before("drop", func() error { return flipByte(r.path("u.bin.otad-part"), 12345) })
		r.start(r.job())
		r.failed("MD5_MISMATCH: expected " + r.object.MD5())
		r.wantOnlyJournal()
		if n := r.metric(`ota_verifications_total{result="mismatch"}`); n != 1 {
			t.Errorf("%v mismatches counted", n)
		}
	})
}

func TestReadbackShowsItsProgress(t *testing.T) {
	const steps = 5
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, steps*fsm.RehashStep)})
		r.cfg.Readback = true
		r.begin()
		r.fetched()
		var shown []int
		for _, s := range r.shown() {
			if s.State == fsm.Verifying {
				shown = append(shown, s.Progress)
			}
		}
		if want := []int{0, 20, 40, 60, 80, 100}; !slices.Equal(shown, want) {
			t.Errorf("shown are %v %%, want %v", shown, want)
		}
		if !slices.Contains(r.history(), "drop") {
			t.Error("the page cache was read, not the medium")
		}
	})
}

// What is received runs ahead of what is durable, is claimed when the answer
// breaks off, and is counted from there.
func TestReceivedRunsAheadOfDurable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const first, second = interval + interval/2, interval + interval*3/4
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 3*interval), Script: []*origintest.Rule{
			origintest.On(1).ResetAt(first), origintest.On(2).StallAt(second)}})
		var claims []fsm.Snapshot
		r.cfg.OnChange = func(s fsm.Snapshot) { claims = append(claims, s) }
		r.begin()
		<-r.origin.Stalled()
		synctest.Wait()
		if s := r.Snapshot(); s.Durable != first || s.Received != second {
			t.Errorf("%d bytes are durable and %d received, want %d and %d", s.Durable, s.Received, first, second)
		}
		for _, s := range claims {
			if s.Received < s.Durable || s.Received > first { // all of the first answer
				t.Errorf("%d of %d bytes are received, %d are durable", s.Received, first, s.Durable)
			}
		}
	})
}
