package fsm_test

import (
	"syscall"
	"testing"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// unreadable makes the blocks before these offsets fail to be read.
func (r *rig) unreadable(before ...int64) {
	r.faults.set(func(op string, at int64) error {
		for _, offset := range before {
			if op == "read" && at < offset && at >= offset-interval {
				return syscall.EIO
			}
		}
		return nil
	})
}

const cannotRead = "DOWNLOAD_FAILED: STORAGE cannot read the block before "

// A read that fails proves nothing of the bytes: a bus may come back.
func TestATailThatCannotBeReadCostsNoByte(t *testing.T) {
	for name, before := range map[string][]int64{
		"the newest":    {stopAt},
		"all of them":   {stopAt, 3 * interval, 2 * interval},
		"the older one": {3 * interval},
	} {
		run(t, name, func(t *testing.T) {
			r := newRig(t, origintest.On(1).StallAt(stopAt))
			r.held(stopAt)
			r.unreadable(before...)
			r.boot()
			if before[0] == stopAt {
				if s := r.failed(cannotRead); s.Durable != stopAt || s.Reason != fsm.StorageLost {
					t.Errorf("%d bytes are durable after %s, want %d", s.Durable, s.Reason, int64(stopAt))
				}
				if n := len(r.requests()); n != 0 {
					t.Errorf("%d requests", n)
				}
				r.faults.set(nil)
				r.start(r.job())
			}
			r.fetched()
			if first := r.requests()[0]; first.Offset != stopAt {
				t.Errorf("the request is from %d, want %d", first.Offset, int64(stopAt))
			}
		})
	}
}

// One bad block must not keep a board from its update: what is behind an older
// checkpoint is written anew at the fourth try.
func TestABadBlockIsWrittenAnewAfterThreeTries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(stopAt))
		r.cfg.TryAgain = fsm.TryAgain{First: time.Second, Longest: time.Hour}
		r.held(stopAt)
		r.unreadable(stopAt)
		r.boot()
		for tries := 1; tries <= 3; tries++ {
			if s := r.failed(cannotRead); s.Tries != tries || s.Durable != stopAt || s.NextTry < 8*time.Minute {
				t.Fatalf("try %d: %d bytes are durable, the next try is in %v", s.Tries, s.Durable, s.NextTry)
			}
			time.Sleep(r.Snapshot().NextTry)
		}
		r.fetched()
		if first := r.requests()[0]; first.Offset != 2*interval && first.Offset != 3*interval {
			t.Errorf("the request is from %d", first.Offset)
		}
	})
}

// A disk of which no block can be read has not lost them.
func TestADiskThatCannotBeReadIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(stopAt))
		r.cfg.TryAgain = fsm.TryAgain{First: time.Second, Longest: time.Hour}
		r.held(stopAt)
		r.unreadable(stopAt, 3*interval, 2*interval)
		r.boot()
		for range 20 {
			if s := r.failed(cannotRead); s.Durable != stopAt {
				t.Fatalf("try %d: %d bytes are durable, want %d", s.Tries, s.Durable, int64(stopAt))
			}
			time.Sleep(r.Snapshot().NextTry)
		}
		r.faults.set(nil)
		r.fetched()
		if first := r.requests()[0]; first.Offset != stopAt {
			t.Errorf("the request is from %d, want %d", first.Offset, int64(stopAt))
		}
	})
}
