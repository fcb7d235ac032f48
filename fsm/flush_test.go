package fsm_test

import (
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// slowLink serves 1,000 bytes a second.
func slowLink() *origintest.Rule { return origintest.Always().Drip(100, 100*time.Millisecond) }

// TestSlowLinkMakesDurableProgress: an interval takes more than a minute here.
func TestSlowLinkMakesDurableProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slowLink())
		r.cfg.Flush = 30 * time.Second
		r.boot()
		r.start(r.job())
		begin := time.Now()
		var at []time.Duration
		for last := int64(0); time.Since(begin) < 5*time.Minute; {
			time.Sleep(100 * time.Millisecond)
			if s := r.Snapshot(); s.Durable != last {
				last = s.Durable
				at = append(at, time.Since(begin).Round(time.Second))
			}
		}
		// 2, then 4, 8, 16 and 30 s later; an interval's own end counts anew.
		if len(at) < 10 || at[0] > 3*time.Second || at[1] > 8*time.Second {
			t.Errorf("checkpoints after %v", at)
		}
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d > 31*time.Second {
				t.Errorf("none between %v and %v", at[i-1], at[i])
			}
		}
		if len(at) > 5+int(5*time.Minute/(30*time.Second))+5 {
			t.Errorf("%d checkpoints in five minutes: %v", len(at), at)
		}
	})
}

// TestBoardThatIsUpForSecondsArrives kills every process after 5 s, 40 times as
// often as a crash loop is long.
func TestBoardThatIsUpForSecondsArrives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().Drip(100, 10*time.Millisecond)) // 10 kB/s
		r.cfg.Flush = 30 * time.Second
		r.boot()
		r.start(r.job())
		starts := 0
		for s := r.Snapshot(); s.State != fsm.Ready; s = r.Snapshot() {
			if starts++; starts > 100 || s.State == fsm.Failed {
				t.Fatalf("after %d starts: %+v", starts, s)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if r.Snapshot().State == fsm.Ready {
				break
			}
			r.kill()
			r.boot()
		}
		if starts < 8 {
			t.Errorf("%d starts: too few to show anything", starts)
		}
	})
}

func TestFastLinkMakesNoFurtherCheckpoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Flush = 30 * time.Second
		r.boot()
		r.start(r.job())
		r.fetched()
		if got := len(r.invariants.commits); got != 6 {
			t.Errorf("%d checkpoints of six intervals", got)
		}
	})
}

// TestIntervalCountsTheTimeOfAFlushAnew: an interval takes 1.5 s here.
func TestIntervalCountsTheTimeOfAFlushAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().Drip(4370, 100*time.Millisecond))
		r.cfg.Flush = 30 * time.Second
		r.boot()
		r.start(r.job())
		r.fetched()
		if got := r.checkpoints(); len(got) != 6 {
			t.Errorf("checkpoints at %v, want six", got)
		}
	})
}
