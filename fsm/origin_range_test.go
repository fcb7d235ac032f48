package fsm_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

func sizeNotKnown(j *journal.Job) { j.Size = 0 }

func TestPartialAnswer(t *testing.T) {
	prove(t, []row{
		{name: "whole", requests: []string{"0-: 206"}},
		{name: "whole, size not known before", job: sizeNotKnown, requests: []string{"0-: 206"}},
		{
			name:     "goes on at the offset",
			script:   script(on(1).ResetAt(350_000)),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			name:     "starts earlier: the overlap is discarded",
			script:   script(on(1).ResetAt(350_000), from(2).StartEarlier(70_000)),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "reset 1", twice: 70_000, took: time.Second,
		},
		{
			name:     "starts at 0 whatever was asked for",
			script:   script(on(1).ResetAt(350_000), from(2).StartEarlier(1_000_000)),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "reset 1", twice: 350_000, took: time.Second,
		},
		{
			name:     "starts later",
			script:   script(always().StartLater(1)),
			fails:    "DOWNLOAD_FAILED: HTTP 206 is about bytes 1-999999/1000000, asked was byte 0",
			requests: []string{"0-: 206"},
		},
		{
			name:     "starts later on a resume",
			script:   script(on(1).ResetAt(350_000), from(2).StartLater(1)),
			fails:    "DOWNLOAD_FAILED: HTTP 206 is about bytes ",
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "reset 1", left: "part 350000", took: time.Second,
		},
		{
			name:     "length and range contradict each other",
			script:   script(always().ContentLength("999999")),
			fails:    "DOWNLOAD_FAILED: HTTP 206 has 999999 bytes, its Content-Range says 1000000",
			requests: []string{"0-: 206"},
		},
		{
			name:     "does not know its total",
			script:   script(on(1).Total(-1).ResetAt(350_000), from(2).Total(-1)),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			name:   "does not know its total, and nobody else does",
			script: script(always().Total(-1)), job: sizeNotKnown,
			fails:    "DOWNLOAD_FAILED: the origin does not tell the size of the package",
			requests: []string{"0-: 206"},
		},
		{
			name:     "of another total",
			script:   script(always().Total(1_000_001)),
			fails:    "PACKAGE_SIZE_MISMATCH: the object at the origin has 1000001 bytes, expected 1000000",
			requests: []string{"0-: 206"},
		},
		{
			name:     "of another total on a resume",
			script:   script(on(1).ResetAt(350_000), from(2).Total(1_000_001)),
			fails:    "PACKAGE_SIZE_MISMATCH: the object at the origin has 1000001 bytes, expected 1000000",
			requests: []string{"0-: 206", "350000- if-match: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", took: time.Second,
		},
	})
}

func TestPartialAnswerWithoutAUsableRange(t *testing.T) {
	rows := []row{{
		name:   "twice the field",
		script: script(always().AddHeader("Content-Range", "bytes 0-999999/1000000")),
	}}
	for _, value := range []string{
		"", "bytes", "bytes 0-999999", "bytes 0-/1000000", "bytes -999999/1000000", "bytes 5-4/1000000", "bytes 0-1000000/1000000",
		"bytes */1000000", "bytes 0-999999/*x", "octets 0-999999/1000000", "bytes +0-999999/1000000", "bytes 0-99999999999999999999/*",
	} {
		rows = append(rows, row{name: fmt.Sprintf("%q", value), script: script(always().ContentRange(value))})
	}
	for i := range rows {
		r := &rows[i]
		r.fails = "DOWNLOAD_FAILED: HTTP 206 without a usable Content-Range"
		r.requests = []string{"0-: 206"}
	}
	prove(t, rows)
}

func TestPartialAnswerShorterThanTheRest(t *testing.T) {
	every := func(n int64) (requests []string) {
		for off := int64(0); off < object.Len(); off += n {
			match := " if-match"
			if off == 0 {
				match = ""
			}
			requests = append(requests, fmt.Sprintf("%d-%s: 206", off, match))
		}
		return requests
	}
	prove(t, []row{
		{
			name:     "an interval or more at a time: each is progress",
			script:   script(always().AtMost(300_000)),
			requests: every(300_000),
			retries:  "short_body 3", took: 3 * time.Second,
		},
		{
			// The third answer completes another interval each time, and the
			// count starts anew.
			name:     "less than an interval at a time, but one within the retries",
			script:   script(always().AtMost(34_000)),
			requests: every(34_000),
			retries:  "short_body 29", took: (1 + 2 + 9*(1+2+4)) * time.Second,
		},
		{
			name:     "less than an interval within all retries",
			script:   script(always().AtMost(20_000)),
			fails:    "DOWNLOAD_FAILED: the body ended at byte ",
			requests: every(20_000)[:4],
			retries:  "short_body 3", left: "part 80000", took: 7 * time.Second,
		},
	})
}

func TestWholeAnswer(t *testing.T) {
	whole := func() *origintest.Rule { return always().IgnoreRange() }
	prove(t, []row{
		{name: "of the right length", script: script(whole()), requests: []string{"0-: 200"}},
		{
			name:   "of the right length, size not known before",
			script: script(whole()), job: sizeNotKnown,
			requests: []string{"0-: 200"},
		},
		{
			name:   "of the wrong length",
			script: script(whole()), job: func(j *journal.Job) { j.Size++ },
			fails:    "DOWNLOAD_FAILED: HTTP 200 with 1000000 bytes of application/octet-stream instead of the package" + atPort80 + " (gave up after 3 retries without progress)",
			requests: slices.Repeat([]string{"0-: 200"}, 4),
			retries:  "other 3", took: 7 * time.Second,
		},
		{name: "without length", script: script(whole().UntilClose()), requests: []string{"0-: 200"}},
		{
			name:   "without length, size not known before",
			script: script(whole().UntilClose()), job: sizeNotKnown,
			fails:    "DOWNLOAD_FAILED: the origin does not tell the size of the package: give it (-size)",
			requests: []string{"0-: 200"},
		},
		{
			name:     "to a range: started over with this very body",
			script:   script(on(1).ResetAt(350_000), from(2).IgnoreRange().Header("ETag", `"other"`)),
			requests: []string{"0-: 206", "350000- if-match: 200"},
			retries:  "reset 1", restarts: "range_ignored 1", twice: 350_000, took: time.Second,
		},
		{
			name:     "to a range, with the same ETag: its beginning is dropped",
			script:   script(on(1).ResetAt(350_000), from(2).IgnoreRange()),
			requests: []string{"0-: 206", "350000- if-match: 200"},
			retries:  "reset 1", twice: 350_000, took: time.Second,
		},
		{
			name:     "to a range, with the same ETag, and breaks off before the offset",
			script:   script(on(1).ResetAt(350_000), on(2).IgnoreRange().ResetAt(200_000)),
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 206"},
			retries:  "reset 2", twice: 200_000, took: 3 * time.Second,
		},
		{
			name:     "to a range, and breaks off before an interval is there",
			script:   script(on(1).ResetAt(350_000), on(2).IgnoreRange().Header("ETag", `"other"`).ResetAt(99_999)),
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 206"},
			retries:  "reset 2", twice: 99_999, took: 3 * time.Second,
		},
		{
			name:     "to a range, without length, at every retry",
			script:   script(on(1).ResetAt(350_000), from(2).IgnoreRange().UntilClose()),
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 200", "0-: 200"},
			retries:  "other 2, reset 1", restarts: "range_ignored 1", twice: 350_000, took: 7 * time.Second,
		},
		{
			name:   "to a range, without length, at every retry, size not known before",
			script: script(on(1).ResetAt(350_000), from(2).IgnoreRange().UntilClose()), job: sizeNotKnown,
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 200", "0-: 200"},
			retries:  "other 2, reset 1", restarts: "range_ignored 1", twice: 350_000, took: 7 * time.Second,
		},
		{
			// It was believed, but it has not given an interval in place of what
			// is held.
			name:     "to a range, without length, at every retry, and then nothing of use",
			script:   script(on(1).ResetAt(350_000), span(2, 5).IgnoreRange().UntilClose(), on(5).ResetAt(99_999)),
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 200", "0-: 200", "350000- if-match: 206"},
			retries:  "other 2, reset 2", twice: 99_999, took: 8 * time.Second,
		},
		{
			// It is believed once, and not for ever.
			name:     "to a range, without length, and never an interval",
			script:   script(on(1).ResetAt(350_000), from(2).IgnoreRange().UntilClose().FinAt(99_999)),
			fails:    "DOWNLOAD_FAILED: HTTP 200 with a body of unknown length of application/octet-stream instead of the package" + atPort80,
			requests: append([]string{"0-: 206"}, slices.Repeat([]string{"350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 200", "0-: 200"}, 2)[:7]...),
			retries:  "other 4, reset 1, short_body 1", twice: 99_999, left: "part 350000", took: 14 * time.Second,
		},
		{
			name:     "to a range, without length, once",
			script:   script(on(1).ResetAt(350_000), on(2).IgnoreRange().UntilClose()),
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 206"},
			retries:  "other 1, reset 1", took: 3 * time.Second,
		},
		{
			name:     "to a range, of another length",
			script:   script(on(1).ResetAt(350_000), span(2, 3).Replace(sample(4, 1560)).IgnoreRange()),
			requests: []string{"0-: 206", "350000- if-match: 412", "350000-: 200", "350000- if-match: 206"},
			retries:  "other 1, reset 1", took: 3 * time.Second,
		},
		{
			name:     "with a Content-Range, which a whole has not",
			script:   script(on(1).IgnoreRange().ContentRange("bytes 0-999999/1000000")),
			requests: []string{"0-: 200", "0-: 206"},
			retries:  "other 1", took: time.Second,
		},
		{
			name:     "to a range, with a Content-Range",
			script:   script(on(1).ResetAt(350_000), on(2).IgnoreRange().ContentRange("bytes 350000-999999/1000000")),
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 206"},
			retries:  "other 1, reset 1", took: 3 * time.Second,
		},
		{
			// However often it gets as far as that, it is no progress.
			name:     "breaks off in the same place each time",
			script:   script(whole().ResetAt(600_000)),
			fails:    "DOWNLOAD_FAILED: connection lost in the answer" + atPort80 + " (gave up after 3 retries without progress)",
			requests: []string{"0-: 200", "600000- if-match: 200", "600000- if-match: 200", "600000- if-match: 200"},
			retries:  "reset 3", twice: 600_000, left: "part 600000", took: 7 * time.Second,
		},
		{
			name:     "breaks off in the same place each time, without ETag",
			script:   script(whole().NoETag().ResetAt(600_000)),
			fails:    "DOWNLOAD_FAILED: connection lost in the answer" + atPort80 + " (gave up after 3 retries without progress)",
			requests: []string{"0-: 200", "600000-: 200", "600000-: 200", "600000-: 200"},
			retries:  "reset 3", restarts: "range_ignored 3", twice: 600_000, left: "part 600000", took: 7 * time.Second,
		},
	})
}

func TestRangeNotSatisfiable(t *testing.T) {
	prove(t, []row{
		{
			name:     "once",
			script:   script(on(1).ResetAt(350_000), on(2).Status(416)),
			requests: []string{"0-: 206", "350000- if-match: 416", "0-: 206"},
			retries:  "reset 1", restarts: "unsatisfiable 1", twice: 350_000, took: time.Second,
		},
		{
			name:     "once, without Content-Range",
			script:   script(on(1).ResetAt(350_000), on(2).Status(416).ContentRange("")),
			requests: []string{"0-: 206", "350000- if-match: 416", "0-: 206"},
			retries:  "reset 1", restarts: "unsatisfiable 1", twice: 350_000, took: time.Second,
		},
		{
			name:     "twice",
			script:   script(on(1).ResetAt(350_000), on(2).Status(416), on(3).ResetAt(200_000), from(4).Status(416)),
			fails:    "DOWNLOAD_FAILED: RANGE_NOT_SATISFIABLE the origin has nothing at byte ",
			requests: []string{"0-: 206", "350000- if-match: 416", "0-: 206", "200000- if-match: 416"},
			retries:  "reset 2", restarts: "unsatisfiable 1", twice: 200_000, left: "part 200000", took: 2 * time.Second,
		},
		{
			name:     "of the very first byte",
			script:   script(always().Status(416)),
			fails:    "DOWNLOAD_FAILED: RANGE_NOT_SATISFIABLE the origin has nothing at byte 0 (HTTP 416)" + atPort80,
			requests: []string{"0-: 416", ": 416", "0-: 416", ": 416"},
			restarts: "unsatisfiable 1",
		},
		{
			name: "because the object has become that short",
			script: script(always().NoETag().NoLastModified(), on(1).ResetAt(300_000),
				from(2).Replace(sample(0, 300_000))),
			fails:    "PACKAGE_SIZE_MISMATCH: the object at the origin ",
			requests: []string{"0-: 206", "300000-: 416"},
			retries:  "reset 1", took: time.Second,
		},
	})
}

// A captive portal answers every request with its page, and so does many an
// origin while it is being maintained.
func TestPageInsteadOfThePackage(t *testing.T) {
	const page = "<html>Welcome aboard. Please accept our terms.</html>"
	fails := fmt.Sprintf("DOWNLOAD_FAILED: HTTP 200 with %d bytes of text/html instead of the package%s (gave up after 3 retries without progress)", len(page), atPort80)
	prove(t, []row{
		{
			name: "before the first byte", script: script(span(1, 3).Page(page)),
			requests: []string{"0-: 200", "0-: 200", "0-: 200", "0-: 206"},
			retries:  "other 3", took: 7 * time.Second,
		},
		{
			name: "before the first byte, size not known", script: script(span(1, 3).Page(page)), job: sizeNotKnown,
			requests: []string{"0-: 200", "0-: 200", "0-: 200", "0-: 206"},
			retries:  "other 3", took: 7 * time.Second,
		},
		{
			name: "before the first byte, each time", script: script(always().Page(page)),
			fails: fails, requests: slices.Repeat([]string{"0-: 200"}, 4),
			retries: "other 3", took: 7 * time.Second,
		},
		{
			name: "in the middle", script: script(on(1).ResetAt(350_000), span(2, 3).Page(page)),
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 206"},
			retries:  "other 2, reset 1", took: 7 * time.Second,
		},
		{
			name: "in the middle, each time", script: script(on(1).ResetAt(350_000), from(2).Page(page)),
			fails: fails, requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 200"},
			retries: "other 2, reset 1", left: "part 350000", took: 7 * time.Second,
		},
		{
			// It does no more ranges and tells no length, but it is a page.
			name: "in the middle, without length, each time", script: script(on(1).ResetAt(350_000), from(2).Page(page).Chunked()),
			fails:    "DOWNLOAD_FAILED: HTTP 200 with a body of unknown length of text/html instead of the package" + atPort80,
			requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: 200", "350000- if-match: 200"},
			retries:  "other 2, reset 1", left: "part 350000", took: 7 * time.Second,
		},
	})
}

// Of an origin that answers so at some of the retries only, nothing is
// believed. (A kill in between counts the retries anew.)
func TestWholeAnswerWithoutLengthNotAtEveryRetry(t *testing.T) {
	bubble(t, row{
		script:   script(on(1).ResetAt(350_000), from(2).IgnoreRange().UntilClose(), on(3).ResetEarly()),
		fails:    "DOWNLOAD_FAILED: HTTP 200 with a body of unknown length of application/octet-stream instead of the package" + atPort80 + " (gave up after 3 retries without progress)",
		requests: []string{"0-: 206", "350000- if-match: 200", "350000- if-match: cut", "350000- if-match: 200"},
		retries:  "other 1, reset 2", left: "part 350000", took: 7 * time.Second,
	}.alone)
}

// Some servers refuse the Range of a first request, and serve the whole.
func TestRangeOfTheFirstRequestIsRefused(t *testing.T) {
	var rows []row
	for _, status := range []int{403, 416, 501} {
		served := row{
			script:   script(always().RangeFails(status)),
			requests: []string{fmt.Sprintf("0-: %d", status), ": 200"},
		}
		run(t, fmt.Sprint(status, ", in one process"), served.alone)
		rows = append(rows,
			row{
				name: fmt.Sprint(status, ", once"), script: script(on(1).RangeFails(status)),
				requests: []string{fmt.Sprintf("0-: %d", status), ": 200"},
			},
			row{
				name: fmt.Sprint(status, ", and nothing else"), script: script(always().Status(status)),
				fails:    "DOWNLOAD_FAILED: ",
				requests: []string{fmt.Sprintf("0-: %d", status), fmt.Sprintf(": %d", status)},
			})
		if status == 416 { // is started over once
			r := &rows[len(rows)-1]
			r.requests, r.restarts = slices.Repeat(r.requests, 2), "unsatisfiable 1"
		}
	}
	prove(t, rows)
}

// Servers differ in their answers there: 416, or 200 and everything.
func TestNothingIsAskedForBeyondTheEnd(t *testing.T) {
	r := row{requests: []string{"0-: 206"}}
	prove(t, []row{
		{name: "on a boundary of the interval", cfg: func(c *fsm.Config) { c.Checkpoint = 250_000 }, requests: r.requests},
		{name: "off it", cfg: func(c *fsm.Config) { c.Checkpoint = 300_000 }, requests: r.requests},
		{name: "an interval longer than the package", cfg: func(c *fsm.Config) { c.Checkpoint = 2_000_000 }, requests: r.requests},
	})
}
