package fsm_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"otad/netio"
	"otad/netio/origintest"
)

func TestConnectionBreaksOff(t *testing.T) {
	var rows []row
	for _, pos := range []int64{0, 1, 99_999, 100_000, 100_001, 262_144, 350_000, 900_000, 999_999} {
		requests := []string{"0-: 206", fmt.Sprintf("%d- if-match: 206", pos)}
		if pos == 0 {
			requests[1] = "0-: 206" // without a byte of it no ETag is required
		}
		rows = append(rows,
			row{
				name: fmt.Sprintf("reset before byte %d", pos), script: script(on(1).ResetAt(pos)),
				requests: requests, retries: "reset 1", took: time.Second,
			},
			row{
				name: fmt.Sprintf("FIN before byte %d", pos), script: script(on(1).FinAt(pos)),
				requests: requests, retries: "short_body 1", took: time.Second,
			})
	}
	prove(t, append(rows,
		row{name: "reset after the last byte", script: script(always().ResetAt(1_000_000)), requests: []string{"0-: 206"}},
		row{name: "FIN after the last byte", script: script(always().FinAt(1_000_000)), requests: []string{"0-: 206"}},
		row{name: "reset after the last byte, before the last chunk", script: script(always().Chunked().ResetAt(1_000_000)), requests: []string{"0-: 206"}},
		row{
			name: "reset instead of an answer", script: script(on(1).ResetEarly()),
			requests: []string{"0-: cut", "0-: 206"}, retries: "reset 1", took: time.Second,
		},
		row{
			name: "FIN instead of an answer", script: script(on(1).FinEarly()),
			requests: []string{"0-: cut", "0-: 206"}, retries: "reset 1", took: time.Second,
		},
		row{
			name: "reset each time after less than an interval", script: script(always().ResetAfter(20_000)),
			fails:    "DOWNLOAD_FAILED: connection lost in the answer" + atPort80 + " (gave up after 3 retries without progress)",
			requests: []string{"0-: 206", "20000- if-match: 206", "40000- if-match: 206", "60000- if-match: 206"},
			retries:  "reset 3", left: "part 80000", took: 7 * time.Second,
		},
		row{
			name: "reset each time after an interval", script: script(always().ResetAfter(250_000)),
			requests: []string{"0-: 206", "250000- if-match: 206", "500000- if-match: 206", "750000- if-match: 206"},
			retries:  "reset 3", took: 3 * time.Second,
		},
		row{
			name: "closed after each answer, as announced", script: script(on(1).Status(503).RetryAfter("1"), always().Close()),
			requests: []string{"0-: 503", "0-: 206"}, retries: "http_5xx 1", took: time.Second,
		},
		row{
			name: "closed after each answer without a word", script: script(on(1).Status(503).RetryAfter("1"), always().CloseSilently()),
			requests: []string{"0-: 503", "0-: 206"}, retries: "http_5xx 1", took: time.Second,
		},
	))
}

func TestSilence(t *testing.T) {
	prove(t, []row{
		{
			name: "in the body", script: script(on(1).StallAt(350_000)),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "stall 1", took: 301 * time.Second,
		},
		{
			name: "in the body, each time in the same place", script: script(always().StallAt(350_000)),
			fails:    "DOWNLOAD_FAILED: no byte for 5m0s" + atPort80 + " (gave up after 3 retries without progress)",
			requests: []string{"0-: 206", "350000- if-match: 206", "350000- if-match: 206", "350000- if-match: 206"},
			retries:  "stall 3", left: "part 350000", took: (4*300 + 7) * time.Second,
		},
		{
			name: "instead of an answer", script: script(on(1).StallEarly()),
			requests: []string{"0-: cut", "0-: 206"},
			retries:  "timeout 1", took: 31 * time.Second,
		},
		{
			name: "but for a trickle", script: script(always().Drip(1000, 10*time.Millisecond), on(1).Drip(99, time.Second)),
			net:      func(c *netio.Config, _ *origintest.Origin) { c.MinRate = 100 },
			requests: []string{"0-: 206", "29799- if-match: 206"},
			retries:  "stall 1", took: 300*time.Second + time.Second + 9700*time.Millisecond,
		},
		{
			name: "no longer than allowed", script: script(always().Drip(100_000, 299*time.Second)),
			requests: []string{"0-: 206"},
			took:     30 * 299 * time.Second, // between 31 pieces of 32 KiB
		},
		{
			name: "between the bytes of a slow drip", script: script(always().Drip(1000, 10*time.Second)),
			requests: []string{"0-: 206"},
			took:     9990 * time.Second,
		},
		{
			name: "before a late answer", script: script(always().HeaderDelay(29 * time.Second)),
			requests: []string{"0-: 206"},
			took:     29 * time.Second,
		},
	})
}

func TestBodyWithoutAnnouncedLength(t *testing.T) {
	prove(t, []row{
		{name: "HTTP/1.0", script: script(always().HTTP10()), requests: []string{"0-: 206"}},
		{name: "HTTP/1.0, size from the range", script: script(always().HTTP10()), job: sizeNotKnown, requests: []string{"0-: 206"}},
		{name: "HTTP/1.0 without ranges", script: script(always().HTTP10().IgnoreRange()), requests: []string{"0-: 200"}},
		{
			name: "HTTP/1.0 without ranges, size not known", script: script(always().HTTP10().IgnoreRange()), job: sizeNotKnown,
			fails: "DOWNLOAD_FAILED: the origin does not tell the size of the package", requests: []string{"0-: 200"},
		},
		{
			name: "HTTP/1.0, ends early", script: script(always().HTTP10(), on(1).FinAt(350_000)),
			requests: []string{"0-: 206", "350000- if-match: 206"}, retries: "short_body 1", took: time.Second,
		},
		{name: "chunked", script: script(always().Chunked()), requests: []string{"0-: 206"}},
		{name: "chunked, size from the range", script: script(always().Chunked()), job: sizeNotKnown, requests: []string{"0-: 206"}},
		{name: "chunked without ranges", script: script(always().Chunked().IgnoreRange()), requests: []string{"0-: 200"}},
		{
			name: "chunked without ranges, size not known", script: script(always().Chunked().IgnoreRange()), job: sizeNotKnown,
			fails: "DOWNLOAD_FAILED: the origin does not tell the size of the package", requests: []string{"0-: 200"},
		},
		{
			name: "chunked, ends early", script: script(always().Chunked(), on(1).FinAt(350_000)),
			requests: []string{"0-: 206", "350000- if-match: 206"}, retries: "short_body 1", took: time.Second,
		},
		{
			name: "until the connection ends, ends early and without ranges", script: script(always().UntilClose().IgnoreRange(), on(1).FinAt(350_000)),
			requests: []string{"0-: 200", "350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 200", "0-: 200"},
			retries:  "other 2, short_body 1", restarts: "range_ignored 1", twice: 350_000, took: 7 * time.Second,
		},
	})
}

// Of an answer that goes on after its end nothing is kept, not even the bytes
// before that end. What earlier answers gave stays.
func TestSurplusIsRefused(t *testing.T) {
	const fails = "DOWNLOAD_FAILED: the body is longer than announced"
	prove(t, []row{
		{name: "chunked", script: script(always().Chunked().Surplus(1)), fails: fails, requests: []string{"0-: 206"}},
		{
			name: "until the connection ends", script: script(always().UntilClose().Surplus(100_000)),
			fails: fails, requests: []string{"0-: 206"},
		},
		{
			name: "without ranges", script: script(always().IgnoreRange().Chunked().Surplus(1)),
			fails: fails, requests: []string{"0-: 200"},
		},
		{
			name: "in the second answer", script: script(on(1).ResetAt(350_000), from(2).Chunked().Surplus(1)),
			fails: fails, requests: []string{"0-: 206", "350000- if-match: 206"},
			retries: "reset 1", left: "part 350000", took: time.Second,
		},
		{
			// Nothing is left of what that answer took the place of.
			name: "without ranges, in place of what was held", script: script(on(1).ResetAt(350_000), from(2).IgnoreRange().UntilClose().Surplus(1)),
			fails: fails, requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 200", "0-: 200"},
			retries: "other 2, reset 1", restarts: "range_ignored 1", twice: 350_000, took: 7 * time.Second,
		},
		{
			name: "after an announced length is not the body's", script: script(always().Surplus(10)),
			requests: []string{"0-: 206"},
		},
		{
			name: "announced", script: script(always().IgnoreRange().ContentLength("1000010").Surplus(10)),
			fails:    "DOWNLOAD_FAILED: HTTP 200 with 1000010 bytes of application/octet-stream instead of the package" + atPort80 + " (gave up after 3 retries without progress)",
			requests: slices.Repeat([]string{"0-: 200"}, 4),
			retries:  "other 3", took: 7 * time.Second,
		},
	})
}

func TestEncodingThatWasNotAskedFor(t *testing.T) {
	const fails = "DOWNLOAD_FAILED: the answer has a Content-Encoding that was not asked for: gzip" + atPort80
	prove(t, []row{
		{name: "partial", script: script(always().Gzip()), fails: fails, requests: []string{"0-: 206"}},
		{name: "whole", script: script(always().Gzip().IgnoreRange()), fails: fails, requests: []string{"0-: 200"}},
		{
			name: "in the second answer", script: script(on(1).ResetAt(350_000), from(2).Gzip()),
			fails: fails, requests: []string{"0-: 206", "350000- if-match: 206"},
			retries: "reset 1", left: "part 350000", took: time.Second,
		},
		{name: "identity is none", script: script(always().Header("Content-Encoding", "identity")), requests: []string{"0-: 206"}},
		{name: "of the object as it is stored, in a 206", script: script(always().Header("Content-Encoding", "gzip")), requests: []string{"0-: 206"}},
		{name: "of the object as it is stored, in a 200", script: script(always().IgnoreRange().Header("Content-Encoding", "gzip")), requests: []string{"0-: 200"}},
		{
			name: "without a length: made on the way", script: script(always().IgnoreRange().Chunked().Header("Content-Encoding", "gzip")),
			fails: fails, requests: []string{"0-: 200"},
		},
		{
			name: "of the object as it is stored, size not known", script: script(always().Header("Content-Encoding", "gzip")), job: sizeNotKnown,
			fails: fails, requests: []string{"0-: 206"},
		},
	})
}

func TestHugeHeader(t *testing.T) {
	prove(t, []row{
		{name: "of 128 KiB", script: script(always().HugeHeader(128 << 10)), requests: []string{"0-: 206"}},
		{
			name: "of 1 MiB", script: script(always().HugeHeader(1 << 20)),
			fails:    "DOWNLOAD_FAILED: bad answer: ",
			requests: slices.Repeat([]string{"0-: 206"}, 4), retries: "other 3", took: 7 * time.Second,
		},
		{
			name: "of 1 MiB, once in the middle", script: script(on(1).ResetAt(350_000), on(2).HugeHeader(1<<20)),
			requests: []string{"0-: 206", "350000- if-match: 206", "350000- if-match: 206"},
			retries:  "other 1, reset 1", took: 3 * time.Second,
		},
	})
}

// A download that makes progress is never given up, however often it breaks
// off.
func TestLinkThatResetsEveryFewIntervals(t *testing.T) {
	for _, latency := range []time.Duration{0, 600 * time.Millisecond} {
		run(t, fmt.Sprint("latency ", latency), func(t *testing.T) {
			d := newBulkRig(t, origintest.Config{
				Object: sample(5, 20_000_000), Link: origintest.Link{ResetEvery: 600_000, Latency: latency},
			})
			d.cfg.Checkpoint = 200 << 10
			p := d.boot()
			begin := time.Now()
			p.start(d.job())
			s, _ := p.settle()
			p.audit(s)
			if s.State != "Ready" || d.origin.ServedTwice() != 0 || p.counts("ota_download_retries_total") != "reset 33" {
				t.Errorf("%s %q after retries %q, %d bytes requested twice", s.State, s.Error, p.counts("ota_download_retries_total"), d.origin.ServedTwice())
			}
			if took, want := time.Since(begin), 33*time.Second+34*latency; took != want {
				t.Errorf("took %v, want %v", took, want)
			}
		})
	}
}
