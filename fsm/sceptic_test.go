package fsm_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// A body that takes over is kept in memory until its first interval is there.
// Checkpoints by time cut it into more blocks than there are.
func TestSlowBodyTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at),
			origintest.On(2).IgnoreRange().Header("ETag", `"other"`).Drip(1000, 3*time.Second))
		r.cfg.Flush = 30 * time.Second
		r.held(at)
		r.boot()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s := r.Snapshot(); s.Durable < interval || s.Durable == at {
			t.Errorf("after ten minutes at 333 bytes a second: %d bytes are durable", s.Durable)
		}
		r.fetched()
	})
}

// The disk takes too long for what is in flight when a hold begins. What was not
// stored must be out of the digest again.
func TestHoldWithASlowDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var held atomic.Bool
		r := newRig(t, origintest.Always().Drip(32<<10, 100*time.Millisecond))
		r.cfg.Held = held.Load
		r.before("sync", func() error { time.Sleep(1500 * time.Millisecond); return nil })
		r.boot()
		r.start(r.job())
		r.until(func(s fsm.Snapshot) bool { return s.Durable > 0 })
		held.Store(true)
		time.Sleep(10 * time.Second)
		held.Store(false)
		r.fetched()
		if n := r.metric(`ota_download_restarts_total{reason="digest_state"}`); n != 0 {
			t.Errorf("the digest was made anew %v times", n)
		}
	})
}

// An error of the disk is not taken for the hold that comes with it.
func TestHoldDoesNotHideAnErrorOfTheDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var held atomic.Bool
		r := newRig(t, origintest.Always().Drip(1000, 100*time.Millisecond))
		r.cfg.Held = held.Load
		r.boot()
		r.start(r.job())
		r.until(func(s fsm.Snapshot) bool { return s.Durable > 0 })
		r.before("sync", func() error { time.Sleep(5 * time.Second); return errors.New("no medium") })
		time.Sleep(4 * time.Second)
		held.Store(true)
		time.Sleep(10 * time.Second)
		if s := r.Snapshot(); s.State != fsm.Failed {
			t.Errorf("%+v", s)
		}
	})
}

// A board that is up for seconds at a time is in no crash loop, whatever keeps it
// from the package meanwhile.
func TestShortSessionsAreNoCrashLoop(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(r *rig)
	}{
		{"refused", func(r *rig) { refuses(r, errRefused) }},
		{"unknown host", func(r *rig) { refuses(r, &net.DNSError{Err: "no such host", Name: "o", IsNotFound: true}) }},
		{"silent", func(r *rig) {
			r.net.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		}},
		{"held", func(r *rig) { r.cfg.Held = func() bool { return true } }},
	} {
		run(t, tt.name, func(t *testing.T) {
			r := forever(newRig(t))
			tt.set(r)
			r.boot()
			r.start(r.job())
			for range 2 * fsm.MaxRestarts {
				time.Sleep(4500 * time.Millisecond)
				synctest.Wait()
				r.kill()
				r.boot()
			}
			synctest.Wait()
			if s := r.Snapshot(); s.Reason == fsm.CrashLoop {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A file whose deletion failed belongs to the job again when that is tried again.
func TestTryKeepsTheFileThatCouldNotBeDeleted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t))
		up, _ := refuses(r, errRefused)
		r.refuse("remove", errors.New("not now"))
		r.boot()
		r.start(r.job())
		r.failed("DOWNLOAD_FAILED: ")
		r.faults.set(nil)
		up()
		r.until(func(s fsm.Snapshot) bool { return s.State != fsm.Failed })
		r.fetched()
		if n := len(r.origin.Requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// An origin that ignores the range and breaks off anywhere makes no progress,
// although every second try ends with more bytes than the one before.
func TestBytesFetchedAgainAreNoProgressOfATry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t,
			origintest.Span(1, 5).IgnoreRange().NoETag().NoLastModified(),
			origintest.On(1).ResetAfter(4*interval), origintest.On(2).ResetAfter(2*interval),
			origintest.On(3).ResetAfter(3*interval), origintest.On(4).ResetAfter(2*interval),
			origintest.On(5).ResetAfter(3*interval)))
		r.cfg.Retries = 0
		r.boot()
		r.start(r.job())
		for n, want := range []time.Duration{10, 20, 40, 80, 160} {
			if s := r.failed("DOWNLOAD_FAILED: "); s.NextTry != want*time.Second {
				t.Errorf("failure %d: %d bytes, next try in %v, want %d s", n+1, s.Durable, s.NextTry, want)
			}
			r.until(func(s fsm.Snapshot) bool { return s.State == fsm.Downloading })
		}
		r.fetched()
	})
}

// A mixture that does not match costs one more download, and not one in each try.
func TestMixtureIsFetchedAgainOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plain := func(rule *origintest.Rule) *origintest.Rule { return rule.NoETag().NoLastModified() }
		r := forever(newRig(t,
			plain(origintest.On(1)).ResetAfter(2*interval),
			plain(origintest.On(2)), // whole, does not match: fetched again
			plain(origintest.On(3)).ResetAfter(2*interval),
			origintest.On(4).ResetEarly(), origintest.On(5).ResetEarly(), origintest.On(6).ResetEarly(), // Failed
			plain(origintest.From(7))))
		job := r.job()
		job.MD5 = "00000000000000000000000000000000"
		r.boot()
		r.start(job)
		r.failed("DOWNLOAD_FAILED: ")
		r.until(func(s fsm.Snapshot) bool { return s.State == fsm.Downloading })
		r.failed("MD5_MISMATCH: ")
		if n := len(r.origin.Requests()); n != 7 {
			t.Errorf("%d requests, want 7", n)
		}
	})
}

// A new URL of another object comes while a body that takes over is in memory.
func TestNewURLBeforeABodyTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at),
			origintest.On(2).IgnoreRange().Header("ETag", `"other"`).StallAt(interval/2))
		r.held(at)
		r.boot()
		synctest.Wait()
		job := r.job()
		job.URL = r.origin.URLFor("/mirror.bin")
		r.start(job)
		r.origin.Release()
		r.fetched()
		if n := r.metric(`ota_download_restarts_total{reason="range_ignored"}`); n != 0 {
			t.Errorf("%d requests, started over %v times", len(r.origin.Requests()), n)
		}
	})
}

// What a believed answer costs does not use up what a 416 is allowed to cost.
func TestBelievedAnswerIsNoUnsatisfiedRange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).ResetAfter(2*interval), origintest.Span(2, 5).IgnoreRange().UntilClose(),
			origintest.On(6).StallAfter(interval))
		r.boot()
		r.start(r.job())
		time.Sleep(time.Minute)
		synctest.Wait()
		if rec, _ := r.record(); rec.Unsatisfiable != 0 {
			t.Errorf("%d unsatisfied ranges counted after %d requests", rec.Unsatisfiable, len(r.origin.Requests()))
		}
	})
}

// The series of one failure takes one place also when each try gets as far as
// Verifying.
func TestFailureInVerifyingTakesOnePlaceInTheOutbox(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t))
		r.cfg.KeepOutbox = true
		r.refuse("publish", errors.New("no"))
		r.boot()
		r.start(r.job())
		time.Sleep(24 * time.Hour)
		rec, _ := r.record()
		if len(rec.Outbox) > 6 {
			t.Errorf("%d entries after %d tries", len(rec.Outbox), rec.Tries)
		}
	})
}

// What is in memory when the held bytes are given up is durable at once, also
// when the interval is larger than the memory.
func TestFirstBytesOfABodyThatTakesOverAreDurable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 7<<19), Script: []*origintest.Rule{
			origintest.On(1).StallAt(interval),
			origintest.On(2).IgnoreRange().Header("ETag", `"other"`).StallAt(2<<20 + 5)}})
		r.cfg.Checkpoint = 64 << 20
		r.held(interval)
		r.boot()
		synctest.Wait()
		r.kill()
		if _, durable := r.record(); durable != 2<<20 {
			t.Errorf("%d bytes are durable, want %d", durable, 2<<20)
		}
	})
}

// The network that a hold kept away is waited for as long as any other.
func TestNetworkIsWaitedForAnewAfterAHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var held atomic.Bool
		r := newRig(t)
		r.cfg.Held = held.Load
		unplug(r)
		r.boot()
		r.start(r.job())
		time.Sleep(time.Minute)
		held.Store(true)
		time.Sleep(8 * time.Hour)
		held.Store(false)
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if s := r.Snapshot(); s.State != fsm.Downloading || s.Retries != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A job that goes on as a download is one in the journal too. Otherwise each start
// would look at the published package again, and a newer otad would take the
// half of a package for one that is in its own state.
func TestUnknownStateBecomesDownloadingInTheJournal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(2*interval+5), origintest.On(2).StallAt(3*interval))
		rolledBack(r, false)
		r.boot()
		synctest.Wait()
		r.kill()
		if rec, _ := r.record(); rec.State != string(fsm.Downloading) {
			t.Errorf("the journal holds %q", rec.State)
		}
	})
}

// Bytes that are received and dropped, because they are held, are bytes too.
func TestShortSessionsWithADroppedPrefixAreNoCrashLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(4*interval), origintest.From(2).IgnoreRange().Drip(4000, time.Second))
		r.held(4 * interval)
		for range fsm.MaxRestarts + 1 {
			r.boot()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			r.kill()
		}
		r.boot()
		r.fetched()
	})
}
