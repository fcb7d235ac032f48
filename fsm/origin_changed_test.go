package fsm_test

import (
	"testing"
	"time"

	"otad/journal"
	"otad/netio/origintest"
)

// wants makes the job one for another object than the one that is served first.
func wants(o origintest.Object) func(*journal.Job) {
	return func(j *journal.Job) { j.MD5 = o.MD5() }
}

// bare is an object of the same size as the others and nothing to tell it from
// them.
func bare() *origintest.Rule { return always().NoETag().NoLastModified() }

func TestObjectChanged(t *testing.T) {
	longer := sample(4, 1_000_001)
	prove(t, []row{
		{
			name:   "into the right one",
			script: script(on(1).ResetAt(350_000), from(2).Replace(another)), job: wants(another),
			requests: []string{"0-: 206", "350000- if-match: 412", "350000-: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", took: time.Second,
		},
		{
			name:     "into a wrong one",
			script:   script(on(1).ResetAt(350_000), from(2).Replace(another)),
			fails:    "MD5_MISMATCH: expected " + object.MD5() + ", got ",
			requests: []string{"0-: 206", "350000- if-match: 412", "350000-: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", took: time.Second,
		},
		{
			name:     "twice",
			script:   script(on(1).ResetAt(350_000), span(2, 4).Replace(another), on(4).ResetAt(200_000), from(5).Replace(third)),
			job:      wants(third),
			fails:    "DOWNLOAD_FAILED: OBJECT_CHANGED the object at the origin is another one now: its ETag differs: v2 before, v3 now (HTTP 206)" + atPort80,
			requests: []string{"0-: 206", "350000- if-match: 412", "350000-: 206", "0-: 206", "200000- if-match: 412", "200000-: 206"},
			retries:  "reset 2", restarts: "changed 1", left: "part 200000", took: 2 * time.Second,
		},
		{
			name:     "twice before there was a byte of it to mix",
			script:   script(on(1).ResetAt(0), on(2).Replace(another).ResetAt(0), from(3).Replace(third)),
			job:      wants(third),
			requests: []string{"0-: 206", "0-: 206", "0-: 206"},
			retries:  "reset 2", took: 3 * time.Second,
		},
		{
			// There was no If-Match. It says nothing of the object.
			name:     "says the origin of the very first byte",
			script:   script(always().Status(412)),
			fails:    "DOWNLOAD_FAILED: HTTP 412 Precondition Failed" + atPort80,
			requests: []string{"0-: 412"},
		},
		{
			name:     "says the origin, with and without If-Match",
			script:   script(on(1).ResetAt(350_000), from(2).Status(412)),
			fails:    "DOWNLOAD_FAILED: HTTP 412 Precondition Failed" + atPort80,
			requests: []string{"0-: 206", "350000- if-match: 412", "350000-: 412"},
			retries:  "reset 1", left: "part 350000", took: time.Second,
		},
		{
			// lighttpd and BusyBox ignore If-Match.
			name:     "its ETag, in a 206 all the same",
			script:   script(on(1).ResetAt(350_000), on(2).Header("ETag", `"other"`)),
			requests: []string{"0-: 206", "350000- if-match: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", twice: 350_000, took: time.Second,
		},
		{
			// Each mirror has a date of its own.
			name:     "its Last-Modified alone, which means nothing",
			script:   script(on(1).ResetAt(350_000), on(2).Header("Last-Modified", "Sun, 02 Jan 2000 00:00:00 GMT")),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			name:     "its Last-Modified beside the same weak ETag",
			script:   script(always().WeakETag(), on(1).ResetAt(350_000), on(2).Header("Last-Modified", "Sun, 02 Jan 2000 00:00:00 GMT")),
			requests: []string{"0-: 206", "350000-: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", twice: 350_000, took: time.Second,
		},
		{
			name:     "its total alone",
			script:   script(on(1).ResetAt(350_000), on(2).Total(1_000_001)),
			requests: []string{"0-: 206", "350000- if-match: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", twice: 350_000, took: time.Second,
		},
		{
			name:   "no ETag: the date tells",
			script: script(always().NoETag(), on(1).ResetAt(350_000), from(2).Replace(another)), job: wants(another),
			requests: []string{"0-: 206", "350000-: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", took: time.Second,
		},
		{
			name:   "a weak ETag tells, and makes no If-Match",
			script: script(always().WeakETag().NoLastModified(), on(1).ResetAt(350_000), from(2).Replace(another)), job: wants(another),
			requests: []string{"0-: 206", "350000-: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", took: time.Second,
		},
		{
			name:     "no ETag, no date: the total tells",
			script:   script(bare(), on(1).ResetAt(350_000), from(2).Replace(longer)),
			fails:    "PACKAGE_SIZE_MISMATCH: the object at the origin has 1000001 bytes, expected 1000000",
			requests: []string{"0-: 206", "350000-: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", took: time.Second,
		},
		{
			// The size was learned from an object that is not there any more,
			// and binds nobody.
			name:     "into the right one of another size, where nobody asked for a size",
			script:   script(on(1).ResetAt(350_000), from(2).Replace(longer)),
			job:      func(j *journal.Job) { j.Size, j.MD5 = 0, longer.MD5() },
			requests: []string{"0-: 206", "350000- if-match: 412", "350000-: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", took: time.Second,
		},
		{
			name:   "while the origin ignores ranges",
			script: script(always().NoETag().IgnoreRange(), on(1).ResetAt(350_000), from(2).Replace(another)), job: wants(another),
			requests: []string{"0-: 200", "350000-: 200"},
			retries:  "reset 1", restarts: "range_ignored 1", took: time.Second,
		},
	})
}

// No validator distinguishes the second object from the first, and two halves
// make no package. The digest is the guard, and one fresh download finds out
// which object it is.
func TestObjectChangedUnseen(t *testing.T) {
	rows := []row{
		{name: "the first is wanted"},
		{name: "the second is wanted", job: wants(another)},
	}
	for i := range rows {
		r := &rows[i]
		r.script = script(bare(), on(1).ResetAt(350_000), from(2).Replace(another))
		r.requests = []string{"0-: 206", "350000-: 206", "0-: 206"}
		r.restarts, r.twice = "mixed 1", 650_000
		r.retries, r.took = "reset 1", time.Second
	}
	rows[0].fails = "MD5_MISMATCH: expected "
	prove(t, rows)
}

func TestValidatorOfTheSameObject(t *testing.T) {
	prove(t, []row{
		{
			name:     "a weak ETag stays",
			script:   script(always().WeakETag(), on(1).ResetAt(350_000)),
			requests: []string{"0-: 206", "350000-: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			name:     "weakened on the way",
			script:   script(on(1).ResetAt(350_000), span(2, 3).Header("ETag", `W/"v1"`), on(2).ResetAt(500_000)),
			requests: []string{"0-: 206", "350000- if-match: 206", "500000-: 206"},
			retries:  "reset 2", took: 2 * time.Second,
		},
		{
			name:     "the ETag is lost on the way, and held",
			script:   script(on(1).ResetAt(350_000), span(2, 3).Header("ETag", ""), on(2).ResetAt(500_000)),
			requests: []string{"0-: 206", "350000- if-match: 206", "500000- if-match: 206"},
			retries:  "reset 2", took: 2 * time.Second,
		},
		{
			name:     "the ETag comes late",
			script:   script(span(1, 2).Header("ETag", ""), on(1).ResetAt(350_000), on(2).ResetAt(500_000)),
			requests: []string{"0-: 206", "350000-: 206", "500000-: 206"},
			retries:  "reset 2", took: 2 * time.Second,
		},
		{
			name:     "no validator at all",
			script:   script(bare(), on(1).ResetAt(350_000)),
			requests: []string{"0-: 206", "350000-: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			name:     "an ETag without quotes is compared and sent with them",
			script:   script(always().Header("ETag", "v1"), on(1).ResetAt(350_000)),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			name:     "an ETag that loses its quotes is the same",
			script:   script(on(1).ResetAt(350_000), from(2).Header("ETag", "v1")),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			// hawkBit, and some gateways to S3.
			name:     "412 to the very ETag",
			script:   script(on(1).ResetAt(350_000), always().IfMatchFails()),
			requests: []string{"0-: 206", "350000- if-match: 412", "350000-: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			name:     "every validator is lost once",
			script:   script(on(1).ResetAt(350_000), on(2).Header("ETag", "").Header("Last-Modified", "")),
			requests: []string{"0-: 206", "350000- if-match: 206", "350000- if-match: 206"},
			retries:  "other 1, reset 1", took: 3 * time.Second,
		},
		{
			name:     "every validator is lost for good",
			script:   script(on(1).ResetAt(350_000), from(2).Header("ETag", "").Header("Last-Modified", "")),
			requests: []string{"0-: 206", "350000- if-match: 206", "350000- if-match: 206", "350000- if-match: 206", "0-: 206"},
			retries:  "other 2, reset 1", restarts: "range_ignored 1", twice: 350_000, took: 7 * time.Second,
		},
		{
			name:     "every validator comes late",
			script:   script(on(1).NoETag().NoLastModified().ResetAt(350_000)),
			requests: []string{"0-: 206", "350000-: 206", "0-: 206"},
			retries:  "reset 1", restarts: "changed 1", twice: 350_000, took: time.Second,
		},
	})
}
