package fsm_test

import (
	"testing"
	"testing/synctest"
	"time"

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
