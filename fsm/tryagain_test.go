package fsm_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// forever lets a rig try a failed job again as serve does.
func forever(r *rig) *rig {
	r.cfg.TryAgain = fsm.TryAgain{First: 10 * time.Second, Longest: time.Hour}
	return r
}

func TestWaitOfAFailedJob(t *testing.T) {
	on := fsm.TryAgain{First: 10 * time.Second, Longest: time.Hour}
	for _, tt := range []struct {
		name  string
		again fsm.TryAgain
		code  fsm.Code
		why   fsm.Reason
		step  int
		want  time.Duration // 0: the job is left alone
	}{
		{"off", fsm.TryAgain{}, fsm.DownloadFailed, fsm.RetriesSpent, 0, 0},
		{"first", on, fsm.DownloadFailed, fsm.RetriesSpent, 0, 10 * time.Second},
		{"doubles", on, fsm.DownloadFailed, fsm.RetriesSpent, 3, 80 * time.Second},
		{"up to the longest", on, fsm.DownloadFailed, fsm.RetriesSpent, 100, time.Hour},
		{"an answer that cannot be used", on, fsm.DownloadFailed, fsm.Unusable, 0, 10 * time.Second},
		{"a changed object", on, fsm.DownloadFailed, fsm.ObjectChanged, 1, 20 * time.Second},
		{"a refused offset", on, fsm.DownloadFailed, fsm.RangeNotSatisfiable, 0, 10 * time.Second},
		{"a refusal for good", on, fsm.DownloadFailed, fsm.Refused, 0, time.Hour},
		{"a refusal for good, later", on, fsm.DownloadFailed, fsm.Refused, 10, 24 * time.Hour},
		{"a disk that lost bytes", on, fsm.DownloadFailed, fsm.StorageLost, 0, 10 * time.Minute},
		{"an error of the board", on, fsm.DownloadFailed, fsm.BoardError, 9, time.Hour},
		{"a full disk", on, fsm.DiskFull, "", 0, 10 * time.Minute},
		{"an expired URL", on, fsm.DownloadFailed, fsm.URLExpired, 0, 0},
		{"a crash loop", on, fsm.DownloadFailed, fsm.CrashLoop, 0, 0},
		{"a wrong MD5", on, fsm.MD5Mismatch, "", 0, 0},
		{"a wrong SHA-256", on, fsm.SHA256Mismatch, "", 0, 0},
		{"a wrong size", on, fsm.PackageSizeMismatch, "", 0, 0},
		{"a failure of a build before codes were recorded", on, "", "", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := journal.Record{Job: journal.Job{URL: "https://h/"}, Code: string(tt.code), Reason: string(tt.why), TryStep: tt.step}
			if got, ok := fsm.TryAgainWait(tt.again, r, 0.5); got != tt.want || ok != (tt.want > 0) {
				t.Errorf("%v, %v; want %v", got, ok, tt.want)
			}
			r.Job.URL = "" // as once the package was Ready
			if got, ok := fsm.TryAgainWait(tt.again, r, 0.5); ok {
				t.Errorf("without a URL %v", got)
			}
		})
	}
}

// Boards that lose an origin at the same moment, and find it again after an outage,
// come back spread. After two minutes the busiest ten seconds have at most twice the
// average, until nearly all are there (the last few may be late without harm). After
// a longer outage the average says little: the waits are of very different lengths.
func TestBoardsThatLostAnOriginTogetherComeBackSpread(t *testing.T) {
	const boards, window = 100_000, 10 * time.Second
	for _, test := range []struct {
		outage time.Duration
		twice  bool
		most   float64 // part of the boards within a second
	}{
		{2 * time.Minute, true, 0.015},
		{10 * time.Minute, false, 0.006},
		{time.Hour, false, 0.001},
		{4 * time.Hour, false, 0.001},
	} {
		t.Run(test.outage.String(), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			var back []time.Duration // after the outage
			for range boards {
				back = append(back, returnAfter(test.outage, rnd))
			}
			slices.Sort(back)
			came := make(map[time.Duration]int)
			for _, at := range back {
				came[at/window]++
			}
			nearly := back[boards*95/100]
			average := boards * 0.95 / max(nearly, test.outage/2).Seconds()
			peak := float64(slices.Max(slices.Collect(maps.Values(came)))) / window.Seconds()
			t.Logf("of %d boards at most %.0f come back a second, %.0f on average until 95 %% are back after %.0f s; the last one after %.0f s",
				boards, peak, average, nearly.Seconds(), back[boards-1].Seconds())
			if test.twice && peak > 2*average || peak > test.most*boards {
				t.Errorf("too many in step: %.1f times the average, %.2f %% a second", peak/average, 100*peak/boards)
			}
		})
	}
}

// returnAfter returns how long after the end of an outage a board finds its origin
// again, which it lost at the beginning.
func returnAfter(outage time.Duration, rnd *rand.Rand) time.Duration {
	again := fsm.TryAgain{First: 10 * time.Second, Longest: time.Hour}
	job := journal.Record{Job: journal.Job{URL: "https://h/"}, Code: string(fsm.DownloadFailed), Reason: string(fsm.RetriesSpent)}
	for now := time.Duration(0); ; job.TryStep++ {
		for n := range 3 { // the retries of one try
			if now += fsm.Backoff(n, rnd.Float64()); now >= outage {
				return now - outage
			}
		}
		wait, _ := fsm.TryAgainWait(again, job, rnd.Float64())
		if now += wait; now >= outage {
			return now - outage
		}
	}
}

// refuses makes every dial fail until up is called.
func refuses(r *rig, err error) (up func(), dials *atomic.Int64) {
	var isUp atomic.Bool
	dials = new(atomic.Int64)
	r.net.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		if !isUp.Load() {
			return nil, err
		}
		return r.origin.Dial(ctx, network, addr)
	}
	return func() { isUp.Store(true) }, dials
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

func TestOriginThatComesBackIsFoundWithoutHelp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t))
		up, dials := refuses(r, errRefused)
		r.boot()
		r.start(r.job())
		s := r.failed("DOWNLOAD_FAILED: ")
		if s.Tries != 1 || s.NextTry != 10*time.Second || s.Reason != fsm.RetriesSpent || r.metric("ota_download_next_try_seconds") != 10 {
			t.Errorf("failed once: %+v, next try in %v s", s, r.metric("ota_download_next_try_seconds"))
		}
		time.Sleep(10 * time.Minute)
		if dials.Load() > 40 {
			t.Errorf("%d requests within ten minutes", dials.Load())
		}
		if s := r.Snapshot(); s.Tries < 4 || s.Tries > 7 {
			t.Errorf("after ten minutes: %+v", s)
		}
		up()
		r.wait(2*time.Hour, func(s fsm.Snapshot) bool { return s.State == fsm.Ready })
		r.fetched()
		if s := r.Snapshot(); s.Tries != 0 || s.NextTry != 0 || s.Err() != nil {
			t.Errorf("Ready: %+v", s)
		}
		if rec, _ := r.record(); rec.Tries != 0 || rec.TryStep != 0 || rec.TryOffset != 0 {
			t.Errorf("Ready, and the journal holds %d tries", rec.Tries)
		}
	})
}

func TestTryThatCommittedBytesBeginsAgainAtTheFirstWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// Each connection gives one interval and dies; nothing is retried.
		r := forever(newRig(t, origintest.Always().ResetAfter(interval+7)))
		r.cfg.Retries = 0
		r.boot()
		r.start(r.job())
		for range 3 {
			if s := r.failed("DOWNLOAD_FAILED: "); s.NextTry != 10*time.Second {
				t.Errorf("%d tries: the next one in %v", s.Tries, s.NextTry)
			}
			r.until(func(s fsm.Snapshot) bool { return s.State == fsm.Downloading })
		}
	})
}

func TestFailureThatNoTryMendsIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t, origintest.Always().ExpiredAWS()))
		r.boot()
		r.start(r.job())
		r.failed("DOWNLOAD_FAILED: URL_EXPIRED")
		time.Sleep(48 * time.Hour)
		if s := r.Snapshot(); s.State != fsm.Failed || s.NextTry != 0 || len(r.origin.Requests()) != 1 {
			t.Errorf("%+v after %d requests", s, len(r.origin.Requests()))
		}
	})
}

func TestPostOfAFailedJobTriesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t))
		up, _ := refuses(r, errRefused)
		r.boot()
		r.start(r.job())
		r.failed("DOWNLOAD_FAILED: ")
		time.Sleep(30 * time.Minute)
		up()
		begin := time.Now()
		r.start(r.job())
		r.fetched()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("Ready after %v", took)
		}
	})
}

func TestJobThatIsTriedAgainGivesWayToAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t))
		up, _ := refuses(r, errRefused)
		r.boot()
		r.start(r.job())
		synctest.Wait()
		if err := r.Start(t.Context(), r.other()); !errors.Is(err, fsm.ErrBusy) {
			t.Errorf("within the first try: %v, want ErrBusy", err)
		}
		r.failed("DOWNLOAD_FAILED: ")
		r.until(func(s fsm.Snapshot) bool { return s.State == fsm.Downloading })
		up()
		r.start(r.other())
		if s := r.await(fsm.Ready); s.State != fsm.Ready || s.Name != "other.bin" {
			t.Errorf("%+v", s)
		}
	})
}

func TestRebootTriesAFailedJobWithinAMinute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t, origintest.On(1).Status(404)))
		r.boot()
		r.start(r.job())
		if s := r.failed("DOWNLOAD_FAILED: "); s.NextTry != time.Hour {
			t.Errorf("a 404 is tried again in %v", s.NextTry)
		}
		r.stop()
		r.boot()
		begin := time.Now()
		r.wait(2*time.Minute, func(s fsm.Snapshot) bool { return s.State == fsm.Ready })
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("tried again %v after the start", took)
		}
	})
}

func TestOneFailureTakesOnePlaceInTheOutbox(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t))
		r.cfg.KeepOutbox = true
		refuses(r, errRefused)
		r.boot()
		r.start(r.job())
		time.Sleep(24 * time.Hour)
		rec, _ := r.record()
		var states []string
		for _, e := range rec.Outbox {
			states = append(states, e.State)
		}
		got := strings.TrimSuffix(strings.Join(states, " "), " Downloading") // a try may be under way
		if want := "Downloading Failed"; got != want {
			t.Errorf("the outbox holds %s after %d tries, want %s", got, rec.Tries, want)
		}
		if last := rec.Outbox[1]; last.Seq < 40 {
			t.Errorf("the failure in the outbox is the one of transition %d, not the newest", last.Seq)
		}
	})
}

// A board whose link refuses at one try and is answered by a maintenance page at
// the next keeps one entry of each failure, in a log of few lines.
func TestFailuresThatAlternateTakeOnePlaceEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t, always().Status(http.StatusNotFound)))
		r.bulk, r.cfg.KeepOutbox = true, true
		var log bytes.Buffer
		r.log = slog.NewTextHandler(&log, nil)
		var tries func() int
		r.net.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if tries()%2 == 0 {
				return nil, errRefused
			}
			return r.origin.Dial(ctx, network, addr)
		}
		tries = func() int { rec, _ := r.record(); return rec.Tries }
		r.boot()
		r.start(r.job())
		time.Sleep(7 * 24 * time.Hour)
		rec, _ := r.record()
		r.stop()
		var failures []string
		for _, e := range rec.Outbox {
			if e.State == string(fsm.Failed) {
				failures = append(failures, e.Reason)
			}
		}
		if slices.Sort(failures); !slices.Equal(failures, []string{string(fsm.Refused), string(fsm.RetriesSpent)}) {
			t.Errorf("after %d tries the outbox holds the failures %v", rec.Tries, failures)
		}
		if lines := strings.Count(log.String(), "\n"); rec.Tries < 10 || lines > 250 {
			t.Errorf("%d lines of %d tries", lines, rec.Tries)
		}
	})
}

// A receiver that is away is told later which job each transition was about: one
// that failed, one that took its place, and the deletion of that one.
func TestOutboxNamesTheJobOfEachTransition(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, always().Status(http.StatusNotFound))
		r.cfg.KeepOutbox = true
		r.boot()
		first, second := r.job(), r.other()
		for _, job := range []journal.Job{first, second} {
			r.start(job)
			r.failed("DOWNLOAD_FAILED: ")
		}
		must(t, r.Reset(t.Context()))
		r.start(first)
		r.failed("DOWNLOAD_FAILED: ")
		rec, _ := r.record()
		var got []string
		for _, e := range rec.Outbox {
			text := e.State
			if e.Job != (journal.EntryJob{}) {
				text += " " + e.Job.Name + " " + e.Job.Version + " " + e.Job.MD5
			}
			got = append(got, text)
		}
		of := func(state string, j journal.Job) string { return state + " " + j.Name + " " + j.Version + " " + j.MD5 }
		want := []string{"Downloading", of("Failed", first), "Downloading", of("Failed", second), of("Idle", second), "Downloading", "Failed"}
		if !slices.Equal(got, want) {
			t.Errorf("the outbox is\n%q, want\n%q", got, want)
		}
	})
}

func TestAWeekWithoutAnOriginIsFewLines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := forever(newRig(t))
		r.bulk = true
		var log bytes.Buffer
		r.log = slog.NewTextHandler(&log, nil)
		_, dials := refuses(r, errRefused)
		r.boot()
		r.start(r.job())
		time.Sleep(7 * 24 * time.Hour)
		r.stop()
		lines := strings.Count(log.String(), "\n")
		t.Logf("%d lines, %d requests", lines, dials.Load())
		if lines > 250 || strings.Count(log.String(), "still fails") < 100 {
			t.Errorf("%d lines:\n%s", lines, log.String())
		}
	})
}
