package fsm_test

import (
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// crashing returns a board with a job that was started and then killed n times
// without a new checkpoint.
func crashing(t *testing.T, n int) *rig {
	r := newRig(t, origintest.Always().StallAt(interval+5), origintest.Always().StallAt(2*interval+5))
	r.held(interval + 5)
	for range n {
		r.boot()
		synctest.Wait()
		r.kill()
	}
	if rec, _ := r.record(); rec.Restarts != n {
		t.Fatalf("%d restarts counted after %d crashes", rec.Restarts, n)
	}
	return r
}

func TestCrashLoopEndsInFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := crashing(t, fsm.MaxRestarts)
		r.boot()
		s := r.failed("DOWNLOAD_FAILED: CRASH_LOOP")
		if len(r.requests()) != 0 || s.Durable != interval+5 {
			t.Errorf("%d requests, %d bytes kept", len(r.requests()), s.Durable)
		}
		if n := r.metric(`ota_downloads_total{result="failed"}`); n != 1 {
			t.Errorf("%v failed downloads counted", n)
		}
		r.origin.Release()
		r.start(r.job()) // the same job again gets another chance
		synctest.Wait()
		if rec, _ := r.record(); rec.Restarts != 0 || r.requests()[0].Offset != interval+5 {
			t.Errorf("the request is from %d with %d restarts counted", r.requests()[0].Offset, rec.Restarts)
		}
	})
}

func TestCrashLoopWithoutBytesLeavesNoFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().StallAt(0)).begin()
		for range fsm.MaxRestarts {
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

func TestRestartCountIsCleared(t *testing.T) {
	tests := []struct {
		name    string
		survive func(r *rig)
		want    int
	}{
		{"by a clean stop", func(r *rig) { r.stop() }, 0},
		{"by a minute of life", func(r *rig) { time.Sleep(fsm.StableAfter); synctest.Wait(); r.kill() }, 0},
		{"not by less", func(r *rig) { time.Sleep(fsm.StableAfter - time.Second); r.kill() }, fsm.MaxRestarts},
		{"by a new checkpoint", func(r *rig) {
			r.origin.Release()
			r.until(func(s fsm.Snapshot) bool { return s.Durable > interval+5 })
			r.kill()
			r.boot()
			synctest.Wait()
			r.kill()
		}, 0}, // the last start received bytes
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := crashing(t, fsm.MaxRestarts-1)
			r.boot()
			synctest.Wait()
			tt.survive(r)
			if rec, _ := r.record(); rec.Restarts != tt.want {
				t.Errorf("%d restarts counted, want %d", rec.Restarts, tt.want)
			}
		})
	}
}

// A board that is switched off every day before its modem is up is in no crash
// loop.
func TestStartsWithoutANetworkAreNoCrashLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(interval+5))
		r.held(interval + 5)
		plugged := unplug(r)
		for range fsm.MaxRestarts + 2 {
			r.boot()
			time.Sleep(fsm.StableAfter - 10*time.Second)
			synctest.Wait()
			if s := r.Snapshot(); s.State != fsm.Downloading {
				t.Fatalf("%s %q", s.State, s.Error)
			}
			r.kill()
			if rec, _ := r.record(); rec.Restarts != 0 {
				t.Errorf("%d restarts counted", rec.Restarts)
			}
		}
		plugged.Store(true)
		r.boot()
		r.fetched()
		if first := r.requests()[0]; first.Offset != interval+5 {
			t.Errorf("the request is from %d", first.Offset)
		}
	})
}

// A process that dies after the network came back is counted, even though it
// waited for the network first.
func TestCrashesAfterTheNetworkIsBackAreACrashLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().StallAt(interval+5))
		r.held(interval + 5)
		plugged := unplug(r)
		for n := range fsm.MaxRestarts {
			plugged.Store(false)
			r.boot()
			time.Sleep(10 * time.Second)
			plugged.Store(true)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			r.kill()
			if rec, _ := r.record(); rec.Restarts != n+1 {
				t.Fatalf("%d restarts counted after %d crashes", rec.Restarts, n+1)
			}
		}
		r.boot()
		r.failed("DOWNLOAD_FAILED: CRASH_LOOP")
	})
}

// The minute after which a start no longer counts begins when the network is
// back.
func TestStableTimeBeginsWhenTheNetworkIsBack(t *testing.T) {
	for with, want := range map[time.Duration]int{fsm.StableAfter - time.Second: 1, fsm.StableAfter: 0} {
		run(t, with.String(), func(t *testing.T) {
			r := newRig(t, origintest.Always().StallAt(interval+5))
			r.held(interval + 5)
			<-r.origin.Stalled() // that one
			plugged := unplug(r)
			r.boot()
			time.Sleep(2*fsm.StableAfter + time.Second)
			plugged.Store(true)
			<-r.origin.Stalled()
			time.Sleep(with)
			synctest.Wait()
			r.kill()
			if rec, _ := r.record(); rec.Restarts != want {
				t.Errorf("%d restarts counted, want %d", rec.Restarts, want)
			}
		})
	}
}

func TestCrashLoopGivesItsReservedSpaceBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := crashing(t, fsm.MaxRestarts)
		if got := r.allocated("u.bin"); got < r.object.Len() {
			t.Skipf("%d bytes are reserved: this file system does not", got)
		}
		r.boot()
		s := r.failed("DOWNLOAD_FAILED: CRASH_LOOP")
		if got := r.allocated("u.bin"); s.Durable != interval+5 || got > 2*interval {
			t.Errorf("%d bytes are still taken for %d", got, s.Durable)
		}
	})
}
