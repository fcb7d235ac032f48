package fsm_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The pulse goes on while the machine is idle and while a transfer waits for a
// slow sync, and stops while Run's own goroutine waits for the disk.
func TestPulse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		var beats atomic.Int64
		r.cfg.Pulse, r.cfg.PulseEvery = func() { beats.Add(1) }, 10*time.Second
		in := func(d time.Duration) int64 {
			before := beats.Load()
			time.Sleep(d)
			synctest.Wait()
			return beats.Load() - before
		}
		r.boot()
		if n := in(100 * time.Second); n < 9 || n > 12 {
			t.Errorf("idle: %d beats in 100 s", n)
		}
		release := make(chan struct{})
		r.before("sync", func() error { <-release; return nil })
		r.start(r.job())
		time.Sleep(time.Second)
		if n := in(100 * time.Second); n < 9 || n > 12 {
			t.Errorf("a slow sync: %d beats in 100 s", n)
		}
		close(release)
		stuck := make(chan struct{})
		r.before("update", func() error { <-stuck; return nil })
		time.Sleep(time.Minute)
		if n := in(100 * time.Second); n != 0 {
			t.Errorf("stuck in the journal: %d beats in 100 s", n)
		}
		close(stuck)
		r.fetched()
	})
}
