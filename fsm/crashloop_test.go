package fsm_test

import (
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// crashing leaves a board on which a job was begun and cut short n times since,
// without a new checkpoint.
func crashing(t *testing.T, n int) *rig {
	r := newRig(t, origintest.Always().StallAt(interval+5), origintest.Always().StallAt(2*interval+5))
	r.held(interval + 5)
	for range n {
		r.boot()
		synctest.Wait()
		r.kill()
	}
	if rec, _ := r.record(); rec.TakeUps != n {
		t.Fatalf("%d take-ups counted after %d crashes", rec.TakeUps, n)
	}
	return r
}

func TestCrashLoopEndsInFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := crashing(t, fsm.MaxTakeUps)
		r.boot()
		s := r.failed("DOWNLOAD_FAILED: CRASH_LOOP")
		if len(r.requests()) != 0 || s.Durable != interval+5 {
			t.Errorf("%d requests, %d bytes kept", len(r.requests()), s.Durable)
		}
		if n := r.metric(`ota_downloads_total{result="failed"}`); n != 1 {
			t.Errorf("%v failed downloads counted", n)
		}
		r.origin.Release()
		r.start(r.job()) // whoever asks again gets another chance
		synctest.Wait()
		if rec, _ := r.record(); rec.TakeUps != 0 || r.requests()[0].Offset != interval+5 {
			t.Errorf("asked from %d with %d take-ups on the count", r.requests()[0].Offset, rec.TakeUps)
		}
	})
}

func TestCrashLoopWithoutBytesLeavesNoFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().StallAt(0))
		r.boot()
		r.start(r.job())
		for range fsm.MaxTakeUps {
			synctest.Wait()
			r.kill()
			r.boot()
		}
		synctest.Wait()
		r.kill()
		r.boot()
		r.failed("DOWNLOAD_FAILED: CRASH_LOOP")
		r.wantOnlyJournal()
	})
}

func TestCountOfTakeUpsIsCleared(t *testing.T) {
	tests := []struct {
		name    string
		survive func(r *rig)
		want    int
	}{
		{"by a clean stop", func(r *rig) { r.stop() }, 0},
		{"by a minute of life", func(r *rig) { time.Sleep(fsm.Survival); synctest.Wait(); r.kill() }, 0},
		{"not by less", func(r *rig) { time.Sleep(fsm.Survival - time.Second); r.kill() }, fsm.MaxTakeUps},
		{"by a new checkpoint", func(r *rig) {
			r.origin.Release()
			r.until(func(s fsm.Snapshot) bool { return s.Durable > interval+5 })
			r.kill()
			r.boot()
			synctest.Wait()
			r.kill()
		}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := crashing(t, fsm.MaxTakeUps-1)
				r.boot()
				synctest.Wait()
				tt.survive(r)
				if rec, _ := r.record(); rec.TakeUps != tt.want {
					t.Errorf("%d take-ups on the count, want %d", rec.TakeUps, tt.want)
				}
			})
		})
	}
}
