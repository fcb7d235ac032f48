package fsm_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

func TestHeldJobMakesNoRequestAndSpendsNoRetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var held atomic.Bool
		held.Store(true)
		r := newRig(t, origintest.Always().Drip(1000, 100*time.Millisecond)) // 10 kB/s
		r.cfg.Held = held.Load
		r.boot()
		r.start(r.job())
		time.Sleep(time.Hour)
		if s := r.Snapshot(); len(r.origin.Requests()) != 0 || s.State != fsm.Downloading || s.Message != "held by the hold file" || r.metric("ota_held") != 1 {
			t.Errorf("held: %d requests, %+v, ota_held %v", len(r.origin.Requests()), s, r.metric("ota_held"))
		}
		held.Store(false)
		r.until(func(s fsm.Snapshot) bool { return s.Durable > 0 })
		held.Store(true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		before := r.Snapshot()
		if before.Durable%interval == 0 || r.metric("ota_held") != 1 {
			t.Errorf("held in the middle: %+v", before) // what was received is checkpointed
		}
		time.Sleep(time.Hour)
		if s := r.Snapshot(); s.Durable != before.Durable || len(r.origin.Requests()) != 1 || s.Retries != 0 {
			t.Errorf("held for an hour: %+v", s)
		}
		held.Store(false)
		r.fetched()
		if got := r.origin.ServedTwice(); got > 16<<10 { // in the kernel's buffers, or those of the pipeline
			t.Errorf("%d bytes were sent twice", got)
		}
		if s := r.Snapshot(); s.Retries != 0 || r.metric("ota_held") != 0 {
			t.Errorf("%d retries, ota_held %v", s.Retries, r.metric("ota_held"))
		}
	})
}
