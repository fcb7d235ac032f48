package fsm_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
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

// A slow link fills many small blocks before an interval is there, if each flush
// ends one, and the transfer has eight.
func TestSlowLinkFillsTheFirstIntervalOfABodyThatTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(2*interval+5),
			origintest.From(2).IgnoreRange().Header("ETag", `"other"`).Drip(200, time.Second))
		r.cfg.Flush = 30 * time.Second
		r.held(2*interval + 5)
		p := r.boot() // an interval takes 328 s
		p.until(func(s fsm.Snapshot) bool { return s.Durable == interval })
		r.fetched()
		if n := len(r.origin.Requests()); n != 2 {
			t.Errorf("%d requests", n)
		}
		if n := len(p.checkpoints()); n > 4+6+44+6 { // of the intervals, the first flushes, and one each 30 s
			t.Errorf("%d checkpoints", n)
		}
	})
}

// A URL of another origin comes while a body that takes over has less than an
// interval: it may lead to one that goes on.
func TestNewURLEndsABodyThatWouldTakeOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at),
			origintest.On(2).IgnoreRange().Header("ETag", `"other"`).Drip(1000, time.Second))
		r.held(at)
		p := r.boot()
		time.Sleep(10 * time.Second)
		job := r.job()
		job.URL = r.origin.URLFor("/mirror.bin") + "?signature=" + secret
		p.start(job)
		r.fetched()
		if got := p.counts("ota_download_restarts_total"); got != "" {
			t.Errorf("started over: %s", got)
		}
		if last := r.origin.Requests()[2]; last.Range != fmt.Sprintf("bytes=%d-", at) {
			t.Errorf("the new URL is requested from %s", last.Range)
		}
	})
}

// Each answer that breaks off before it takes over leaves blocks behind, and
// there are eight.
func TestAnswersThatDoNotTakeOverGiveTheirBlocksBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at),
			origintest.Span(2, 21).IgnoreRange().Header("ETag", `"other"`).ResetAfter(interval-1))
		r.cfg.Retries = 20
		r.held(at)
		p := r.boot()
		r.fetched()
		if got := p.counts("ota_download_restarts_total"); got != "" {
			t.Errorf("started over: %s", got)
		}
	})
}

// Three answers that would be believed are not, when one of the retries between
// them was answered otherwise.
func TestOriginIsBelievedOnlyForAnswersInARow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at), origintest.From(2).IgnoreRange().UntilClose(), origintest.On(3).ResetEarly())
		r.held(at)
		r.boot()
		s := r.failed("DOWNLOAD_FAILED: HTTP 200 with a body of unknown length")
		if n := len(r.origin.Requests()); n != 5 || s.Durable != at {
			t.Errorf("%d requests, %d bytes are held", n, s.Durable)
		}
	})
}
