package fsm_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// readOnly makes the journal refuse every write from the n-th transition on,
// and returns the times of the refused writes.
func (r *rig) readOnly(n int) (tries *[]time.Time) {
	tries = new([]time.Time)
	r.faults.set(func(op string, _ int64) error {
		if op == "update" {
			n--
		}
		if n > 0 || op != "update" && op != "commit" && op != "rewind" {
			return nil
		}
		*tries = append(*tries, time.Now())
		return syscall.EROFS
	})
	return tries
}

func TestRefusedStartChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.boot()
		r.readOnly(0)
		before := r.Snapshot()
		if err := r.Start(t.Context(), r.job()); !errors.Is(err, syscall.EROFS) {
			t.Errorf("start: %v", err)
		}
		if after := r.Snapshot(); after != before || len(r.requests()) != 0 || len(r.shown()) != 0 {
			t.Errorf("shown is %+v after %d requests", after, len(r.requests()))
		}
		if err := r.Health(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("Health returns %v", err)
		}
		r.wantOnlyJournal()
		r.faults.set(nil)
		r.start(r.job())
		r.fetched()
		if err := r.Health(); err != nil {
			t.Errorf("writable again, but Health returns %v", err)
		}
	})
}

func TestTransitionIsTriedUntilTheJournalIsWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.boot()
		tries := r.readOnly(3) // 1: start, 2: the validator, 3: downloaded
		begin := time.Now()
		r.start(r.job())
		time.Sleep(time.Minute + time.Second)
		s := r.Snapshot()
		if s.State != fsm.Downloading || !strings.HasPrefix(s.Message, "the journal cannot be written: ") || r.Health() == nil {
			t.Errorf("shown is %+v, Health returns %v", s, r.Health())
		}
		for i, at := range *tries {
			if want := time.Duration(i) * fsm.JournalRetry; at.Sub(begin) != want {
				t.Errorf("try %d after %v, want %v", i, at.Sub(begin), want)
			}
		}
		if len(*tries) != 13 {
			t.Errorf("%d tries in a minute", len(*tries))
		}
		r.faults.set(nil)
		r.fetched()
		if err := r.Health(); err != nil || len(r.requests()) != 1 {
			t.Errorf("writable again: Health returns %v after %d requests", err, len(r.requests()))
		}
	})
}

// The transfer with the old URL has failed, and the journal cannot be written.
// A new URL must be tried before that failure is recorded.
func TestNewURLReplacesAFailureThatIsNotRecorded(t *testing.T) {
	tests := []struct {
		name string
		rule *origintest.Rule // of the second request, made at second 1
	}{
		{"expired", origintest.On(2).ExpiredAWS()},
		{"not found", origintest.On(2).Status(404)},
		{"another object", origintest.On(2).Status(412)},
		{"nothing there", origintest.On(2).Status(416)},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, origintest.On(1).ResetAt(3*interval), tt.rule)
			r.boot()
			job := r.job()
			r.start(job)
			time.Sleep(500 * time.Millisecond)
			tries := r.readOnly(0)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if s := r.Snapshot(); s.State != fsm.Downloading || len(*tries) == 0 || len(r.requests()) != 2 {
				t.Fatalf("%s after %d requests and %d tries to write", s.State, len(r.requests()), len(*tries))
			}
			r.faults.set(nil)
			job.URL = r.origin.URLFor("/mirror/u.bin?signature=" + secret)
			r.start(job)
			r.fetched()
			requests := r.requests()
			if last := requests[len(requests)-1]; len(requests) != 3 || last.URL != job.URL || last.Offset != 3*interval {
				t.Errorf("%d requests, the last from %d of %s", len(requests), last.Offset, last.URL)
			}
			for _, s := range r.shown() {
				if s.State == fsm.Failed {
					t.Errorf("shown was the error %q", s.Error)
				}
			}
		})
	}
}

func TestResetIsRefusedWithTheJournalAndTheJobGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(interval+5)).begin()
		<-r.origin.Stalled()
		synctest.Wait()
		r.refuse("update", syscall.EROFS)
		if err := r.Reset(t.Context()); !errors.Is(err, syscall.EROFS) {
			t.Errorf("reset: %v", err)
		}
		r.faults.set(nil)
		r.fetched()
	})
}

func TestFailOnJournalErrorEndsRun(t *testing.T) {
	tests := []struct {
		name string
		at   int // number of the transition that is refused
	}{
		{"downloaded", 3},
		{"verified", 4},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t)
			r.cfg.FailOnJournalError = true
			r.open()
			r.readOnly(tt.at)
			must(t, r.StartBeforeRun(t.Context(), r.job(), false))
			r.boot()
			if err := <-r.done; !errors.Is(err, syscall.EROFS) {
				t.Errorf("run: %v", err)
			}
			r.done = nil
			r.faults.set(nil)
			r.stop()
			r.boot() // and the next one finishes it
			r.fetched()
			if n := len(r.requests()); n != 0 {
				t.Errorf("%d requests for what was there", n)
			}
		})
	}
}

func TestFailOnJournalErrorResumesNothingThatItCannotCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(interval))
		r.held(interval)
		r.cfg.FailOnJournalError = true
		r.open()
		r.readOnly(0)
		r.boot()
		if err := <-r.done; !errors.Is(err, syscall.EROFS) {
			t.Errorf("run: %v", err)
		}
		r.done = nil
	})
}

// The journal is not written in a state without work, so Health looks.
func TestHealthReportsAReadOnlyDiskWithoutAWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.boot()
		r.refuse("look", syscall.EROFS)
		if err := r.Health(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("Health returns %v", err)
		}
		r.faults.set(nil)
		if err := r.Health(); err != nil {
			t.Errorf("writable again, but Health returns %v", err)
		}
	})
}

// The commit is beside the transfer. One that fails while the network is silent ends
// the transfer then, and not when the silence ends.
func TestCommitThatFailsEndsATransferThatWaitsForTheNetwork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(interval+5))
		r.before("commit", func() error {
			time.Sleep(100 * time.Millisecond)
			return syscall.EIO
		})
		begin := time.Now()
		r.begin()
		r.failed("DOWNLOAD_FAILED: write the journal: input/output error")
		if took := time.Since(begin); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}
