package fsm_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
)

// TestReadyJobIsPostedAgain: the package is digested, and fetched only if it is
// not what it was, or gone.
func TestReadyJobIsPostedAgain(t *testing.T) {
	for _, tt := range []struct {
		name     string
		meddle   func(r *rig)
		requests int
	}{
		{"as it was left", func(*rig) {}, 0},
		{"other bytes", func(r *rig) { flip(r.t, r.path("u.bin"), 77) }, 1},
		{"cut", func(r *rig) { must(r.t, os.Truncate(r.path("u.bin"), 10)) }, 1},
		{"unreadable", func(r *rig) { r.refuse("published", syscall.EIO) }, 1},
		{"taken away", func(r *rig) { must(r.t, os.Remove(r.path("u.bin"))) }, 1},
	} {
		for _, when := range []string{"while it runs", "before it runs"} {
			run(t, tt.name+", "+when, func(t *testing.T) {
				r := newRig(t)
				r.cfg.KeepOutbox = true
				r.begin()
				r.fetched()
				requests, writes := len(r.requests()), metricIn(exposition(r.metrics), "ota_journal_commits_total")
				if when == "while it runs" {
					tt.meddle(r)
					r.start(r.job())
				} else {
					r.end()
					tt.meddle(r)
					requests, writes = 0, 0
					must(t, r.open().StartBeforeRun(t.Context(), r.job(), false))
					r.boot()
				}
				if s := r.Snapshot(); s.State == fsm.Ready {
					t.Errorf("%s before the package was looked at", s.State)
				}
				r.fetched()
				if got := len(r.requests()) - requests; got != tt.requests {
					t.Errorf("%d requests, want %d", got, tt.requests)
				}
				rec := r.journal.Record()
				if rec.Job.URL != "" || rec.State != string(fsm.Ready) {
					t.Errorf("%+v", rec)
				}
				for _, e := range rec.Outbox {
					if e.State == string(fsm.Failed) {
						t.Error("reported as failed")
					}
				}
				if got := metricIn(exposition(r.metrics), "ota_journal_commits_total") - writes; tt.requests == 0 && got > 3 {
					t.Errorf("%v writes of the journal for a package that is what it was", got)
				}
			})
		}
	}
}

// A second post while the package is digested brings the URL that counts.
func TestDamagedPackageIsPostedAgainWhileItIsProved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		r.end()
		flip(t, r.path("u.bin"), 77)
		p := r.open()
		if s := p.Snapshot(); s.State != fsm.Verifying {
			t.Fatalf("%s", s.State)
		}
		stale := r.job()
		stale.URL = r.origin.URLFor("/gone") + "?old"
		must(t, p.StartBeforeRun(t.Context(), stale, false))
		must(t, p.StartBeforeRun(t.Context(), r.job(), false))
		r.boot()
		r.fetched()
		if got := r.requests(); len(got) != 1 || got[0].URL != r.job().URL {
			t.Errorf("%v", got)
		}
	})
}

// An installer takes the package away while a repeated post has it digested, and
// the post comes once more.
func TestPackageGoesWhileItIsProvedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		r.end()
		p := r.open()
		must(t, os.Remove(r.path("u.bin")))
		must(t, p.StartBeforeRun(t.Context(), r.job(), false))
		r.boot()
		r.fetched()
		if len(r.requests()) != 1 {
			t.Errorf("%d requests", len(r.requests()))
		}
	})
}

// A reset while a package is proved again forgets the post.
func TestResetWhileReadyIsProvedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		flip(t, r.path("u.bin"), 77)
		r.start(r.job())
		must(t, r.Reset(t.Context()))
		synctest.Wait()
		if s := r.Snapshot(); s.State != fsm.Idle {
			t.Errorf("%s", s.State)
		}
		r.start(r.other())
		if s := r.await(fsm.Ready); s.Name != r.other().Name {
			t.Errorf("%+v", s)
		}
	})
}

// A job that the journal does not take leaves an earlier package to be proved.
func TestOtherJobThatTheJournalRefusesWhileReadyIsProved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		r.end()
		flip(t, r.path("u.bin"), 77)
		p := r.open()
		r.refuse("update", syscall.ENOSPC)
		if err := p.StartBeforeRun(t.Context(), r.other(), false); err == nil {
			t.Error("taken")
		}
		if s := p.Snapshot(); s.State != fsm.Verifying {
			t.Errorf("%s without a proof", s.State)
		}
		r.faults.set(nil)
		r.boot()
		r.failed(damaged)
	})
}

// While the journal cannot take the start of the fresh download, nothing is shown
// as Ready.
func TestDamagedPackageAndAJournalThatCannotBeWritten(t *testing.T) {
	for _, other := range []bool{false, true} {
		run(t, fmt.Sprint("another job is posted then: ", other), func(t *testing.T) {
			damagedUnwritable(t, other)
		})
	}
}

func damagedUnwritable(t *testing.T, other bool) {
	r := newRig(t).begin()
	r.fetched()
	flip(t, r.path("u.bin"), 77)
	r.refuse("update", syscall.ENOSPC)
	r.start(r.job())
	synctest.Wait()
	if s := r.Snapshot(); s.State != fsm.Verifying || !strings.Contains(s.Message, "journal") {
		t.Errorf("%s %q", s.State, s.Message)
	}
	r.faults.set(nil)
	if other {
		r.start(r.other())
		if s := r.await(fsm.Ready); s.Name != r.other().Name || len(r.requests()) != 2 {
			t.Errorf("%+v, %d requests", s, len(r.requests()))
		}
		time.Sleep(time.Minute) // longer than the wait for the journal
		if s := r.Snapshot(); s.Name != r.other().Name {
			t.Errorf("%+v", s)
		}
		return
	}
	r.fetched()
}
