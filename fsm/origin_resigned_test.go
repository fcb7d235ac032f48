package fsm_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// TestExpiredJobGoesOnWithANewURL: the bytes belong to the package, not to the URL.
func TestExpiredJobGoesOnWithANewURL(t *testing.T) {
	for server, is := range expired() {
		for _, killed := range []bool{false, true} {
			name := server
			if killed {
				name += ", killed in between"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					o := newOrigin(t, origintest.Config{Object: object}, on(1).ResetAt(350_000), is(on(2)))
					d := newDevice(t, o)
					p := d.boot()
					job := jobFor(o, object)
					job.URL = o.URLFor("/bucket/key?X-Amz-Signature=old")
					if err := p.Start(t.Context(), job); err != nil {
						t.Fatal(err)
					}
					if s, _ := p.settle(); s.State != fsm.Failed || s.Durable != 350_000 {
						t.Fatalf("%s with %d bytes", s.State, s.Durable)
					}
					if killed {
						p.reaper.kill()
						p.end()
						p = d.boot()
						p.settle()
					}
					job.URL = o.URLFor("/bucket/key?X-Amz-Signature=new")
					if err := p.Start(t.Context(), job); err != nil {
						t.Fatal(err)
					}
					s, _ := p.settle()
					if s.State != fsm.Ready {
						t.Errorf("%s %q", s.State, s.Error)
					}
					p.audit(s)
					want := []string{"0-: 206", "350000- if-match: 403", "350000- if-match: 206"}
					if got := asked(o); !slices.Equal(got, want) {
						t.Errorf("requests %q, want %q", got, want)
					}
					if got := o.Requests()[2].Target; got != "/bucket/key?X-Amz-Signature=new" {
						t.Errorf("asked for %s", got)
					}
					if got := p.counts("ota_download_resumes_total"); got != "new_url 1" && got != "network 1, new_url 1" {
						t.Errorf("resumes %q", got)
					}
				})
			})
		}
	}
}

// TestAnotherOriginIsLearnedAnew: what one origin called the version another cannot know.
func TestAnotherOriginIsLearnedAnew(t *testing.T) {
	for name, c := range map[string]struct {
		path   string
		second origintest.Object
		ready  bool
	}{
		"the same package":    {"/mirror/package.bin", origintest.Object{Bytes: object.Bytes, ETag: `"mirror"`}, true},
		"another of its size": {"/mirror/package.bin", another, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrigin(t, origintest.Config{Object: object}, on(1).ResetAt(350_000), on(2).Status(404), from(3).Replace(c.second), on(3).ResetAt(500_000))
				p := newDevice(t, o).boot()
				job := jobFor(o, object)
				for range 2 {
					if err := p.Start(t.Context(), job); err != nil {
						t.Fatal(err)
					}
					p.settle()
					job.URL = o.URLFor(c.path)
				}
				s := p.Snapshot()
				p.audit(s)
				if ready := s.State == fsm.Ready; ready != c.ready {
					t.Errorf("%s %q", s.State, s.Error)
				}
				want := []string{"0-: 206", "350000- if-match: 404", "350000-: 206", "500000- if-match: 206"}
				if got := asked(o); !slices.Equal(got, want) {
					t.Errorf("requests %q, want %q", got, want)
				}
			})
		})
	}
}

// TestRefusalOfAReplacedURLIsNoFailure: the new URL came while the old one's answer was on the way.
func TestRefusalOfAReplacedURLIsNoFailure(t *testing.T) {
	for name, is := range expired() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrigin(t, origintest.Config{Object: object}, is(on(1).HeaderDelay(10*time.Second)))
				p := newDevice(t, o).boot()
				job := jobFor(o, object)
				for _, signature := range []string{"old", "new"} {
					job.URL = o.URLFor("/key?signature=" + signature)
					if err := p.Start(t.Context(), job); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				s, _ := p.settle()
				p.audit(s)
				if s.State != fsm.Ready || len(o.Requests()) != 2 || s.Retries != 0 {
					t.Errorf("%s %q after %d retries and %q", s.State, s.Error, s.Retries, asked(o))
				}
			})
		})
	}
}
