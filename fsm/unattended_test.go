package fsm_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// A board that nobody looks after meets what takes longer than the retries, and
// arrives all the same.
func TestTroubleThatEndsIsTriedThroughToReady(t *testing.T) {
	const at = 2*interval + 5
	for name, c := range map[string]struct {
		script   []*origintest.Rule
		fails    string
		restarts string
	}{
		"a portal's page": {
			script: script(on(1).ResetAt(at), span(2, 30).Page("<html>Welcome aboard.</html>")),
			fails:  "DOWNLOAD_FAILED: HTTP 200 with 28 bytes of text/html instead of the package",
		},
		"maintenance": {
			script: script(on(1).ResetAt(at), span(2, 30).Status(503).RetryAfter("10")),
			fails:  "DOWNLOAD_FAILED: HTTP 503 Service Unavailable",
		},
		"not found for a while": {
			script: script(on(1).ResetAt(at), span(2, 4).Status(404)),
			fails:  "DOWNLOAD_FAILED: HTTP 404 Not Found",
		},
		"no room for the offset": {
			script:   script(on(1).ResetAt(at), on(2).Status(416), on(3).ResetAt(interval), on(4).Status(416)),
			fails:    "DOWNLOAD_FAILED: RANGE_NOT_SATISFIABLE",
			restarts: "unsatisfiable 1",
		},
		"an object that changes, and changes back": {
			script: script(on(1).ResetAt(at), on(2).Header("ETag", `"b"`), on(3).Header("ETag", `"b"`).ResetAt(interval),
				on(4).Header("ETag", `"c"`), on(5).Header("ETag", `"c"`)),
			fails:    "DOWNLOAD_FAILED: OBJECT_CHANGED",
			restarts: "changed 2",
		},
	} {
		run(t, name, func(t *testing.T) {
			r := forever(newRig(t, c.script...))
			p := r.boot()
			r.start(r.job())
			s := p.failed(c.fails)
			if c.restarts == "" && s.Durable != at {
				t.Errorf("%d bytes are held", s.Durable)
			}
			p.wait(100*time.Hour, func(s fsm.Snapshot) bool { return s.State == fsm.Ready })
			r.fetched()
			if got := p.counts("ota_download_restarts_total"); got != c.restarts {
				t.Errorf("restarts %q, want %q", got, c.restarts)
			}
		})
	}
}

func TestNameThatDoesNotResolveSoonAfterBoot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t))
		up, _ := refuses(r, &net.DNSError{Err: "no such host", Name: "origin.test", IsNotFound: true})
		r.boot()
		r.start(r.job())
		r.failed("DOWNLOAD_FAILED: no such host: origin.test" + atPort80)
		time.Sleep(10 * time.Minute)
		up()
		begin := time.Now()
		r.wait(time.Hour, func(s fsm.Snapshot) bool { return s.State == fsm.Ready })
		r.fetched()
		if took := time.Since(begin); took > 12*time.Minute {
			t.Errorf("Ready %v after the name resolved", took)
		}
	})
}

// What is waited for is shown, and costs no retry.
func TestWaitForTheClockIsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		now := time.Now()
		r := newRigOn(t, origintest.Config{InMemory: true, TLS: &origintest.TLS{NotBefore: now.Add(5 * time.Minute)}})
		trusting(&r.net, r.origin)
		r.net.BuildTime = now.Add(5 * time.Minute)
		r.boot()
		r.start(r.job())
		time.Sleep(2 * time.Minute)
		if s := r.Snapshot(); s.Message != "waiting for the clock: the board's time is before the build of otad" || s.Retries != 0 {
			t.Errorf("%+v", s)
		}
		r.fetched()
		if s := r.Snapshot(); s.Retries != 0 {
			t.Errorf("%d retries", s.Retries)
		}
	})
}

// outboxOf lists the transitions in the outbox, a failure with its reason.
func outboxOf(rec journal.Record) string {
	var out []string
	for _, e := range rec.Outbox {
		out = append(out, strings.TrimSpace(e.State+" "+e.Reason))
	}
	return strings.Join(out, ", ")
}

// One entry stands for a series of one failure, not for another failure, and
// not for what a new post has led to.
func TestOutboxKeepsEachKindOfFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t, span(1, 8).ResetEarly(), on(9).Status(404)))
		r.cfg.KeepOutbox = true
		r.boot()
		r.start(r.job())
		r.until(func(s fsm.Snapshot) bool { return s.Reason == fsm.Refused })
		rec, _ := r.record()
		if got, want := outboxOf(rec), "Downloading, Failed RETRIES_SPENT, Downloading, Failed REFUSED"; got != want {
			t.Errorf("the outbox holds %s, want %s", got, want)
		}
	})
}

func TestOutboxKeepsTheFailureOfEachPost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, always().ResetEarly())
		r.cfg.KeepOutbox, r.cfg.Retries = true, 0
		r.boot()
		for range 2 {
			r.start(r.job())
			r.failed("DOWNLOAD_FAILED: ")
		}
		rec, _ := r.record()
		if got, want := outboxOf(rec), "Downloading, Failed RETRIES_SPENT, Downloading, Failed RETRIES_SPENT"; got != want {
			t.Errorf("the outbox holds %s, want %s", got, want)
		}
	})
}

// Another job counts its own tries, waits and bytes.
func TestStatisticsOfAJobOverItsProcesses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, on(1).ResetAt(interval), on(2).Status(404))
		r.boot()
		r.start(r.job())
		r.failed("DOWNLOAD_FAILED: HTTP 404")
		must(t, r.stop())
		r.boot()
		r.start(r.job())
		r.fetched()
		want := journal.Stats{Seconds: 1, Received: r.object.Len(), Resumes: 1, Retries: 1}
		got := withoutTime(r.Snapshot().Stats)
		if rec, _ := r.record(); got != want || rec.Stats.Received != want.Received {
			t.Errorf("%+v, want %+v; in the journal %+v", got, want, rec.Stats)
		}
		r.start(r.other())
		r.await(fsm.Ready)
		if got, want := withoutTime(r.Snapshot().Stats), (journal.Stats{Received: r.object.Len()}); got != want {
			t.Errorf("of another job %+v, want %+v", got, want)
		}
	})
}

// withoutTime returns s without the time of the last progress.
func withoutTime(s journal.Stats) journal.Stats {
	s.Progress = journal.Progress{}
	return s
}

// Each process is killed after a few intervals. What it received counts all the
// same, but for that of the checkpoints since the stats were stored last.
func TestJobSumsOutliveAKill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 100*interval), Link: origintest.Link{BytesPerSecond: interval}})
		r.boot()
		r.start(r.job())
		for n := int64(1); n <= 3; n++ {
			r.until(func(s fsm.Snapshot) bool { return s.Durable >= n*9*interval })
			r.kill()
			rec, durable := r.record()
			if missing := durable - rec.Stats.Received; missing > 2*n*interval || rec.Stats.Seconds < 7*n {
				t.Errorf("killed %d times at %d bytes, the journal has %+v", n, durable, rec.Stats)
			}
			r.boot()
		}
	})
}

// A file that appears in the middle of an answer ends it, and the count of
// retries is where it was.
func TestHoldSpendsNoRetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var held atomic.Bool
		r := newRig(t, always().Drip(1000, 100*time.Millisecond), span(1, 3).ResetAfter(1000))
		r.cfg.Held = held.Load
		r.boot()
		r.start(r.job())
		time.Sleep(8 * time.Second) // the last retry is under way
		for range 3 {
			held.Store(true)
			time.Sleep(5 * time.Second)
			held.Store(false)
			time.Sleep(5 * time.Second)
		}
		synctest.Wait()
		if s := r.Snapshot(); s.State != fsm.Downloading || s.Retries != 3 {
			t.Errorf("%+v", s)
		}
		r.fetched()
	})
}

// Each start receives bytes and is cut off before the first checkpoint. That is
// a weak supply, and no crash loop.
func TestBoardThatIsCutOffWithinASecondIsInNoCrashLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, span(1, 20).Drip(1000, 100*time.Millisecond))
		r.boot()
		r.start(r.job())
		for range 20 {
			time.Sleep(time.Second)
			synctest.Wait()
			r.kill()
			r.boot()
		}
		r.fetched()
	})
}

// A link so bad that each try brings a thousand bytes fails every ten seconds.
func TestFailureThatComesOftenIsFewLines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t, always().ResetAfter(1000)))
		r.cfg.Retries, r.bulk = 0, true
		var log bytes.Buffer
		r.log = slog.NewTextHandler(&log, nil)
		r.boot()
		r.start(r.job())
		r.wait(10*time.Hour, func(s fsm.Snapshot) bool { return s.State == fsm.Ready })
		r.stop()
		if n := strings.Count(log.String(), "still fails"); n == 0 || n > 15 {
			t.Errorf("%d lines of 328 failures:\n%s", n, log.String())
		}
	})
}

func TestResetEndsTheTriesOfAFailedJob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t, always().ResetEarly()))
		r.boot()
		r.start(r.job())
		r.failed("DOWNLOAD_FAILED: ")
		must(t, r.Reset(t.Context()))
		n := len(r.origin.Requests())
		time.Sleep(48 * time.Hour)
		if s := r.Snapshot(); s.State != fsm.Idle || s.NextTry != 0 || len(r.origin.Requests()) != n {
			t.Errorf("%+v after %d more requests", s, len(r.origin.Requests())-n)
		}
	})
}

func TestTryWithoutANewByteWaitsLonger(t *testing.T) {
	changing := func() (rules []*origintest.Rule) {
		for n, resetAt := range []int64{10_000, 0, 20_000, 0, 0, 30_000, 0} {
			r := on(n+1).Header("ETag", fmt.Sprintf(`W/"%d"`, n))
			if resetAt > 0 {
				r.ResetAt(resetAt)
			}
			rules = append(rules, r)
		}
		return rules
	}
	for name, rules := range map[string][]*origintest.Rule{
		"bytes are held": script(on(1).ResetAt(2*interval), from(2).ResetEarly()),
		"the bytes are of an object that changes each time": changing(),
	} {
		run(t, name, func(t *testing.T) {
			r := forever(newRig(t, rules...))
			r.boot()
			r.start(r.job())
			for tries, wait := range []time.Duration{10 * time.Second, 20 * time.Second} {
				s := r.until(func(s fsm.Snapshot) bool { return s.State == fsm.Failed && s.Tries == tries+1 })
				if s.NextTry != wait || s.Durable == 0 {
					t.Errorf("try %d: %+v, want the next one in %v", s.Tries, s, wait)
				}
			}
		})
	}
}
