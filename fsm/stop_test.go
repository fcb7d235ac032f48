package fsm_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// slowDisk makes writes take as long as write, and a checkpoint, its sync and
// its commit, as long as checkpoint.
func (r *rig) slowDisk(write, checkpoint time.Duration) {
	r.faults.set(func(op string, _ int64) error {
		switch op {
		case "write":
			time.Sleep(write)
		case "sync", "commit":
			time.Sleep(checkpoint / 2)
		}
		return nil
	})
}

// A stop is to be over in 2 s, whatever it finds under way, and what it stores
// in that time is claimed. The invariants hold the claims against the synced
// bytes.
func TestStopKeepsItsTimeOnSlowDisks(t *testing.T) {
	const ms = time.Millisecond
	for _, disk := range []struct {
		interval          int64
		write, checkpoint time.Duration
	}{
		{1 << 20, 490 * ms, 490 * ms},
		{1 << 20, 300 * ms, 900 * ms},
		{1 << 20, 900 * ms, 100 * ms},
		{1 << 20, 200 * ms, 50 * ms},
		{1 << 20, 100 * ms, 1400 * ms},
		{1 << 20, 1000 * ms, 1400 * ms}, // in the middle of a write there is no time for a checkpoint
		{2 << 20, 400 * ms, 490 * ms},
		{64 << 20, 490 * ms, 490 * ms},
		{64 << 10, 100 * ms, 100 * ms},
	} {
		t.Run(fmt.Sprintf("interval %d, write %v, checkpoint %v", disk.interval, disk.write, disk.checkpoint), func(t *testing.T) {
			t.Parallel()
			for after := 2500 * ms; after < 4*time.Second; after += 211 * ms {
				synctest.Test(t, func(t *testing.T) {
					r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 10<<20)})
					r.cfg.Checkpoint = disk.interval
					r.slowDisk(disk.write, disk.checkpoint)
					r.begin()
					time.Sleep(after)
					begun := time.Now()
					r.end()
					if took := time.Since(begun); took > 2*time.Second {
						t.Errorf("a stop after %v took %v", after, took)
					}
				})
			}
		})
	}
}

// A disk that keeps up is given the time to take what is in memory.
func TestStopStoresWhatIsInMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 16<<20)})
		r.cfg.Checkpoint = 1 << 20
		r.slowDisk(50*time.Millisecond, 20*time.Millisecond)
		r.begin()
		time.Sleep(time.Second)
		before := r.Snapshot().Durable
		r.end()
		if _, after := r.record(); after-before < 3<<20 {
			t.Errorf("%d bytes became durable in the stop", after-before)
		}
	})
}

// A block that leaves no time for its checkpoint is not stored: the time goes
// to the checkpoint of what was stored before.
func TestStopClaimsWhatIsStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 10<<20)})
		r.cfg.Checkpoint = 1 << 20
		r.slowDisk(400*time.Millisecond, 1200*time.Millisecond)
		r.begin()
		time.Sleep(1600 * time.Millisecond) // 200 ms before the third block is written
		begin := time.Now()
		r.end()
		if _, offset := r.record(); offset != 3<<19 || time.Since(begin) > 2*time.Second {
			t.Errorf("stopped at %d after %v, want %d within 2 s", offset, time.Since(begin), 3<<19)
		}
	})
}

func TestStorageThatFailsInAStopIsNotClaimed(t *testing.T) {
	for op, want := range map[string]int64{
		"write":  3 * interval, // the one under way is made, and another
		"sync":   2 * interval,
		"commit": 2 * interval,
	} {
		run(t, op, func(t *testing.T) {
			r := newRig(t)
			var stopping atomic.Bool
			n := 0
			r.faults.set(func(now string, at int64) error {
				switch {
				case stopping.Load() && now == op:
					if n++; n > 1 { // the first is of what was under way
						return syscall.EIO
					}
				case now == "write" && at == interval:
					time.Sleep(300 * time.Millisecond)
					stopping.Store(true)
				}
				return nil
			})
			r.begin()
			time.Sleep(100 * time.Millisecond) // in the write of the second interval
			r.end()
			if rec, offset := r.record(); rec.State != string(fsm.Downloading) || offset != want {
				t.Errorf("%s at %d, want %d", rec.State, offset, want)
			}
			r.faults.set(nil)
			r.boot()
			r.fetched()
		})
	}
}

// All of the package is received, and the stop leaves no time to store it. The
// download has not ended then, even where Run handles the result of the work
// before the stop.
func TestStopThatDropsTheEndIsNoDownload(t *testing.T) {
	for range 12 { // of two things that are due, Run takes either
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			var slow atomic.Bool
			r.faults.set(func(now string, at int64) error {
				switch {
				case now == "write" && at == interval:
					slow.Store(true)
					time.Sleep(1200 * time.Millisecond)
				case now == "update" && slow.Load():
					time.Sleep(5 * time.Second) // Run is busy with a new URL until the work has ended
				}
				return nil
			})
			r.begin()
			time.Sleep(100 * time.Millisecond)
			job := r.job()
			job.URL += "-renewed"
			asked := make(chan error)
			running := r.process
			go func() { asked <- running.Start(t.Context(), job) }()
			time.Sleep(100 * time.Millisecond)
			r.end()
			<-asked
			if rec, offset := r.record(); rec.State != string(fsm.Downloading) || offset != 2*interval {
				t.Errorf("%s at %d", rec.State, offset)
			}
		})
	}
}

// None of an answer that goes on after its end can be trusted, even when a stop
// comes first.
func TestStopDoesNotKeepAnAnswerThatWentOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).ResetAt(2*interval+100), origintest.On(2).Chunked().Surplus(7))
		r.faults.set(func(op string, at int64) error {
			if op == "write" && at == 4*interval {
				time.Sleep(300 * time.Millisecond)
			}
			return nil
		})
		r.begin()
		time.Sleep(1100 * time.Millisecond) // after the back-off: in the slow write
		r.end()
		if rec, offset := r.record(); rec.State != string(fsm.Downloading) || offset != 2*interval+100 {
			t.Errorf("%s at %d, want %d", rec.State, offset, 2*interval+100)
		}
	})
}

// The time of an interval is that of its writes and its sync.
func TestDataSyncCountsAnIntervalsWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 3<<20)})
		r.cfg.Checkpoint = 1 << 20
		r.slowDisk(100*time.Millisecond, 200*time.Millisecond)
		r.begin()
		r.fetched()
		for series, want := range map[string]float64{
			"ota_data_sync_duration_seconds_count": 3,
			"ota_data_sync_duration_seconds_sum":   3 * (2*0.1 + 0.1),
		} {
			if got := r.metric(series); got < want-1e-9 || got > want+1e-9 {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
	})
}
