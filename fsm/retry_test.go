package fsm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"otad/netio/origintest"
)

// gaps are the times between the requests so far.
func (v *invariants) gaps() []time.Duration {
	var out []time.Duration
	requests := v.requests()
	for i := 1; i < len(requests); i++ {
		out = append(out, requests[i].at.Sub(requests[i-1].at))
	}
	return out
}

func TestRetriesWaitLongerEachTimeWithinTwentyPercent(t *testing.T) {
	for _, tt := range []struct {
		jitter float64
		want   []time.Duration
	}{
		{0, []time.Duration{800 * time.Millisecond, 1600 * time.Millisecond, 3200 * time.Millisecond}},
		{0.5, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		{1, []time.Duration{1200 * time.Millisecond, 2400 * time.Millisecond, 4800 * time.Millisecond}},
	} {
		run(t, fmt.Sprint("jitter ", tt.jitter), func(t *testing.T) {
			r := newRig(t, origintest.Always().ResetEarly())
			r.cfg.Jitter = func() float64 { return tt.jitter }
			r.begin()
			s := r.failed("DOWNLOAD_FAILED: ")
			if !strings.HasSuffix(s.Error, "(gave up after 3 retries without progress)") || s.Retries != 3 {
				t.Errorf("%d retries, error %q", s.Retries, s.Error)
			}
			if got := r.gaps(); !slices.Equal(got, tt.want) {
				t.Errorf("waits %v, want %v", got, tt.want)
			}
			if n := r.metric(`ota_download_retries_total{reason="reset"}`); n != 3 {
				t.Errorf("%v retries counted", n)
			}
		})
	}
}

func TestCountOfRetriesStartsAnewWithEachIntervalCommitted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 12*interval),
			Script: []*origintest.Rule{origintest.Always().ResetAfter(interval)}})
		r.begin()
		r.fetched()
		gaps := r.gaps()
		if len(gaps) != 11 || slices.Max(gaps) != time.Second {
			t.Errorf("waits %v, want eleven of the first length", gaps)
		}
		if s := r.Snapshot(); s.Retries != 11 {
			t.Errorf("%d retries are shown, want 11", s.Retries)
		}
	})
}

func TestProgressOfLessThanAnIntervalSavesNoRetries(t *testing.T) {
	tests := []struct {
		name    string
		rule    *origintest.Rule
		begins  []int64 // what is asked for
		durable int64   // in the end
	}{
		{"a drip of 1 KB a connection", origintest.Always().ResetAfter(1024), []int64{0, 1024, 2048, 3072}, 4096},
		{"not quite an interval in four tries", origintest.Always().ResetAfter(interval/4 - 1),
			[]int64{0, interval/4 - 1, interval/2 - 2, interval*3/4 - 3}, interval - 4},
		{"an origin that ignores ranges and resets each time", origintest.Always().IgnoreRange().ResetAt(3 * interval),
			[]int64{0, 3 * interval, 3 * interval, 3 * interval}, 3 * interval},
		{"the same, without ETag", origintest.Always().NoETag().IgnoreRange().ResetAt(3 * interval),
			[]int64{0, 3 * interval, 3 * interval, 3 * interval}, 3 * interval},
		{"the same, ever earlier", origintest.Always().NoETag().IgnoreRange().ResetAt(interval - 1),
			[]int64{0, interval - 1, interval - 1, interval - 1}, interval - 1},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, tt.rule).begin()
			s := r.failed("DOWNLOAD_FAILED: ")
			var begins []int64
			for _, a := range r.requests() {
				begins = append(begins, a.Offset)
			}
			if !slices.Equal(begins, tt.begins) || s.Durable != tt.durable {
				t.Errorf("requested from %v and kept %d bytes, want %v and %d", begins, s.Durable, tt.begins, tt.durable)
			}
		})
	}
}

// Progress counts from the highest offset, not from the last: a transfer that
// starts over makes none until it is past where it was.
func TestProgressIsCountedFromTheHighestOffset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().IgnoreRange().NoETag(), origintest.On(1).ResetAt(3*interval),
			origintest.On(2).ResetAt(2*interval), origintest.On(3).ResetAt(4*interval), origintest.On(4).ResetAt(5*interval-1))
		r.begin()
		r.fetched()
		if got, want := r.gaps(), []time.Duration{time.Second, 2 * time.Second, time.Second, 2 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("waits %v, want %v", got, want)
		}
		if n := r.metric(`ota_download_restarts_total{reason="range_ignored"}`); n != 4 {
			t.Errorf("%v restarts counted, want 4", n)
		}
	})
}

// After a start-over the progress of the new object counts. Measured by the
// offsets of the old one, a link that drops would never get past them.
func TestCountOfRetriesStartsAnewWithTheProgressOfTheNewObject(t *testing.T) {
	second := sample(2, 5*interval+1234)
	tests := []struct {
		name   string
		rules  []*origintest.Rule
		object *origintest.Object // that is wanted; nil: the first one
	}{
		{"object changed", script(origintest.From(4).Replace(second)), &second},
		{"object changed unseen", script(bare(), origintest.From(4).Replace(second)), &second},
		{"range not satisfiable", script(origintest.On(4).Status(416)), nil},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, append(tt.rules, origintest.Always().ResetAfter(interval*3/2))...)
			if tt.object != nil {
				r.object = *tt.object
			}
			r.begin()
			r.fetched()
			const s = time.Second
			if got, want := r.gaps(), []time.Duration{s, s, s, 0, s, s, s}; !slices.Equal(got, want) {
				t.Errorf("waits %v, want %v", got, want)
			}
		})
	}
}
