package fsm_test

import (
	"testing"
	"testing/synctest"
	"time"

	"otad/netio/origintest"
)

// TestHeldBytesAreGivenUpOnlyForAFirstInterval: an origin that ignores the range
// and breaks off has proved nothing. One that goes on replaces what was held.
func TestHeldBytesAreGivenUpOnlyForAFirstInterval(t *testing.T) {
	const at = 2*interval + 5
	for _, tt := range []struct {
		name  string
		after int64 // bytes that the 200 gives before it breaks off
		keeps bool
	}{
		{"nothing", 0, true},
		{"half an interval", interval / 2, true},
		{"all but a byte", interval - 1, true},
		{"an interval", interval, false},
		{"more", interval + 99, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, origintest.On(1).StallAt(at),
					origintest.On(2).IgnoreRange().Header("ETag", `"other"`).ResetAfter(tt.after))
				r.held(at)
				r.boot()
				time.Sleep(500 * time.Millisecond) // the first retry comes after 1 s
				synctest.Wait()
				want := int64(interval)
				if tt.keeps {
					want = at
				}
				if s := r.Snapshot(); s.Durable < want || tt.keeps && s.Durable != at {
					t.Errorf("%d bytes are durable, want %d", s.Durable, want)
				}
				r.kill() // what the next start finds is the same
				r.boot()
				if s := r.Snapshot(); s.Durable < want || tt.keeps && s.Durable != at {
					t.Errorf("after a cut %d bytes are durable, want %d", s.Durable, want)
				}
				r.fetched()
			})
		})
	}
}
