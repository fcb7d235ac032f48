package fsm_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// The bytes belong to the package, not to the URL.
func TestExpiredJobGoesOnWithANewURL(t *testing.T) {
	for server, is := range expired() {
		for _, killed := range []bool{false, true} {
			name := server
			if killed {
				name += ", killed in between"
			}
			run(t, name, func(t *testing.T) {
				d := newBulkRig(t, origintest.Config{Object: object}, on(1).ResetAt(350_000), is(on(2)))
				p := d.boot()
				job := d.job()
				job.URL = d.origin.URLFor("/bucket/key?X-Amz-Signature=old")
				p.start(job)
				if s, _ := p.settle(); s.State != fsm.Failed || s.Durable != 350_000 {
					t.Fatalf("%s with %d bytes", s.State, s.Durable)
				}
				if killed {
					p.killNow()
					p.end()
					p = d.boot()
					p.settle()
				}
				job.URL = d.origin.URLFor("/bucket/key?X-Amz-Signature=new")
				p.start(job)
				p.finishes()
				want := []string{"0-: 206", "350000- if-match: 403", "350000- if-match: 206"}
				if got := asked(d.origin); !slices.Equal(got, want) {
					t.Errorf("requests %q, want %q", got, want)
				}
				if n := d.origin.ServedTwice(); n != 0 {
					t.Errorf("%d bytes were requested twice", n)
				}
				if got := d.origin.Requests()[2].Target; got != "/bucket/key?X-Amz-Signature=new" {
					t.Errorf("the request is for %s", got)
				}
				if got := p.counts("ota_download_resumes_total"); got != "new_url 1" && got != "network 1, new_url 1" {
					t.Errorf("resumes %q", got)
				}
			})
		}
	}
}

// One origin does not know the ETags of another.
func TestAnotherOriginHasAValidatorOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		path   string
		second origintest.Object
		ready  bool
	}{
		"the same package":    {"/mirror/package.bin", origintest.Object{Bytes: object.Bytes, ETag: `"mirror"`}, true},
		"another of its size": {"/mirror/package.bin", another, false},
	} {
		run(t, name, func(t *testing.T) {
			d := newBulkRig(t, origintest.Config{Object: object}, on(1).ResetAt(350_000), on(2).Status(404), from(3).Replace(c.second), on(3).ResetAt(500_000))
			p := d.boot()
			job := d.job()
			for range 2 {
				p.start(job)
				p.settle()
				job.URL = d.origin.URLFor(c.path)
			}
			s := p.Snapshot()
			p.audit(s)
			if ready := s.State == fsm.Ready; ready != c.ready {
				t.Errorf("%s %q", s.State, s.Error)
			}
			want := []string{"0-: 206", "350000- if-match: 404", "350000-: 206", "500000- if-match: 206"}
			if !c.ready { // the join may be the cause
				want = append(want, "0-: 206")
			}
			if got := asked(d.origin); !slices.Equal(got, want) {
				t.Errorf("requests %q, want %q", got, want)
			}
		})
	}
}

// The new URL comes while the answer of the old one is on its way.
func TestRefusalOfAReplacedURLIsNoFailure(t *testing.T) {
	for name, is := range expired() {
		run(t, name, func(t *testing.T) {
			d := newBulkRig(t, origintest.Config{Object: object}, is(on(1).HeaderDelay(10*time.Second)))
			p := d.boot()
			job := d.job()
			for _, signature := range []string{"old", "new"} {
				job.URL = d.origin.URLFor("/key?signature=" + signature)
				p.start(job)
				synctest.Wait()
			}
			s, _ := p.settle()
			p.audit(s)
			if s.State != fsm.Ready || len(d.origin.Requests()) != 2 || s.Retries != 0 {
				t.Errorf("%s %q after %d retries and %q", s.State, s.Error, s.Retries, asked(d.origin))
			}
		})
	}
}

// The new URL comes while the answer of the old one is on its way. Whatever
// that answer says of the object, no job fails, no download starts over and no
// byte is lost.
func TestAnswerOfAReplacedURLDecidesNothing(t *testing.T) {
	longer := sample(4, 1_000_001)
	const late = 10 * time.Second
	for name, c := range map[string]struct {
		old    *origintest.Rule // its answer to the second request, which comes a second after the first
		posted time.Duration    // when the new URL comes
		held   bool             // only with bytes to hold against it
	}{
		"404":                      {old: on(2).HeaderDelay(late).Status(404)},
		"403 expired":              {old: on(2).HeaderDelay(late).ExpiredAWS()},
		"412":                      {old: span(2, 3).Path("/old.bin").HeaderDelay(late).Status(412)},
		"416":                      {old: span(2, 3).Path("/old.bin").HeaderDelay(late).Status(416)},
		"416, ends where it stood": {old: span(2, 3).Path("/old.bin").HeaderDelay(late).Status(416).ContentRange("bytes */350000")},
		"206 of another total":     {old: on(2).HeaderDelay(late).Total(longer.Len())},
		"200 of another length":    {old: span(2, 3).Path("/old.bin").HeaderDelay(late).IgnoreRange().Replace(longer)},
		"200 at an offset":         {old: on(2).HeaderDelay(late).IgnoreRange().Header("ETag", `"other"`), held: true},
		"surplus":                  {old: on(2).HeaderDelay(late).Chunked().Surplus(1)},
		// 1 + 30 + 2 + 30 + 4 s: the last try ends 30 s later.
		"the last try stalls": {old: span(2, 4).StallEarly(), posted: 80 * time.Second},
	} {
		for at, first := range map[int64]*origintest.Rule{0: on(1).ResetEarly(), 350_000: on(1).ResetAt(350_000)} {
			if c.held && at == 0 {
				continue
			}
			run(t, fmt.Sprintf("%s, %d bytes held", name, at), func(t *testing.T) {
				d := newBulkRig(t, origintest.Config{Object: object}, first, c.old)
				p := d.boot()
				job := d.job()
				job.URL = d.origin.URLFor("/old.bin")
				p.start(job)
				time.Sleep(cmp.Or(c.posted, late/2))
				job.URL = d.origin.URLFor("/new.bin")
				p.start(job)
				p.finishes()
				requests, want := d.origin.Requests(), fmt.Sprintf("bytes=%d-", at)
				last := requests[len(requests)-1]
				if last.Target != "/new.bin" || last.Range != want || last.IfMatch != "" {
					t.Errorf("the last request is for %s, %s, If-Match %q; want /new.bin, %s", last.Target, last.Range, last.IfMatch, want)
				}
				for _, r := range requests[:len(requests)-1] {
					if r.Target != "/old.bin" {
						t.Errorf("a request before the last is for %s", r.Target)
					}
				}
				if got := p.counts("ota_download_restarts_total"); got != "" {
					t.Errorf("started over: %s", got)
				}
				if r := p.journal.Record(); r.Changed+r.Unsatisfiable != 0 {
					t.Errorf("held against the new URL: %d changes, %d refused offsets", r.Changed, r.Unsatisfiable)
				}
			})
		}
	}
}

// The bytes of that answer are kept: they are the package's. Its ETag is not:
// the new origin does not know it.
func TestAnswerOfAReplacedURLIsNotLearned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newBulkRig(t, origintest.Config{Object: object}, on(1).HeaderDelay(10*time.Second).ResetAt(350_000))
		p := d.boot()
		job := d.job()
		for _, path := range []string{"/package.bin", "/mirror/package.bin"} {
			job.URL = d.origin.URLFor(path)
			p.start(job)
			synctest.Wait()
		}
		p.finishes()
		want := []string{"0-: 206", "350000-: 206"}
		if got := asked(d.origin); !slices.Equal(got, want) {
			t.Errorf("requests %q, want %q", got, want)
		}
	})
}

// The same object under a new signature is still the same object.
func TestValidatorIsKeptForANewSignatureInAWait(t *testing.T) {
	for target, want := range map[string]string{
		"/package.bin?signature=new": "350000- if-match: 206",
		"/mirror/package.bin":        "350000-: 206",
	} {
		run(t, target, func(t *testing.T) {
			d := newBulkRig(t, origintest.Config{Object: object}, on(1).ResetAt(350_000), on(2).Status(503).RetryAfter("250"))
			p := d.boot()
			job := d.job()
			p.start(job)
			time.Sleep(10 * time.Second)
			job.URL = d.origin.URLFor(target)
			p.start(job)
			p.finishes()
			if got, want := asked(d.origin), []string{"0-: 206", "350000- if-match: 503", want}; !slices.Equal(got, want) {
				t.Errorf("requests %q, want %q", got, want)
			}
		})
	}
}
