package fsm_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

func TestSameJobAgainOnlyRefreshesItsURL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(2*interval+9))
		r.boot()
		job := r.job()
		r.start(job)
		<-r.origin.Stalled()
		synctest.Wait()
		before := r.Snapshot()
		job.URL += "-renewed"
		r.start(job)
		synctest.Wait()
		if rec, _ := r.record(); rec.Job.URL != job.URL || r.Snapshot().Durable != before.Durable || len(r.requests()) != 1 {
			t.Errorf("URL %s, %+v, %d requests", rec.Job.URL, r.Snapshot(), len(r.requests()))
		}
		r.origin.Release()
		r.fetched()
		if len(r.requests()) != 1 {
			t.Errorf("%d requests for one package", len(r.requests()))
		}
	})
}

func TestAnotherJobIsRefusedWhileOneIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(interval))
		verifying := make(chan struct{})
		r.before("drop", func() error { <-verifying; return nil })
		r.cfg.Readback = true
		r.begin()
		for _, state := range []fsm.State{fsm.Downloading, fsm.Verifying} {
			r.await(state)
			before, _ := r.record()
			if err := r.Start(t.Context(), r.other()); !errors.Is(err, fsm.ErrBusy) {
				t.Errorf("in %s: %v, want ErrBusy", state, err)
			}
			if after, _ := r.record(); after.Job != before.Job {
				t.Errorf("in %s the journal's job became %+v", state, after.Job)
			}
			r.origin.Release()
		}
		close(verifying)
		r.fetched()
		if err := r.Start(t.Context(), r.other()); err != nil {
			t.Errorf("in Ready: %v", err)
		}
	})
}

func TestOfTwoSimultaneousJobsExactlyOneWins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().StallAt(0))
		r.boot()
		for range 20 {
			jobs := []journal.Job{r.job(), r.other()}
			errs := make([]error, len(jobs))
			var both sync.WaitGroup
			for i := range jobs {
				both.Go(func() { errs[i] = r.Start(t.Context(), jobs[i]) })
			}
			both.Wait()
			winner := slices.Index(errs, nil)
			if winner < 0 || !errors.Is(errs[1-winner], fsm.ErrBusy) {
				t.Fatalf("Start returned %v", errs)
			}
			if rec, _ := r.record(); rec.Job != jobs[winner] {
				t.Errorf("the journal holds %s, but Start accepted %s", rec.Job.Name, jobs[winner].Name)
			}
			must(t, r.Reset(t.Context()))
		}
	})
}

func TestJobThatCannotBeIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.boot()
		for field, spoil := range map[journal.Field]func(*journal.Job){
			journal.FieldMD5:     func(j *journal.Job) { j.MD5 = "d41d8" },
			journal.FieldName:    func(j *journal.Job) { j.Name = "../u.bin" },
			journal.FieldSize:    func(j *journal.Job) { j.Size = -1 },
			journal.FieldVersion: func(j *journal.Job) { j.Version = "latest" },
			journal.FieldURL:     func(j *journal.Job) { j.URL = "http://example.com/u.bin?signature=" + secret },
		} {
			job := r.job()
			spoil(&job)
			var wrong *journal.FieldError
			if err := r.Start(t.Context(), job); !errors.As(err, &wrong) || wrong.Field != field || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", field, err)
			}
		}
		if rec, _ := r.record(); rec.State != "" || len(r.history()) != 0 {
			t.Errorf("the journal holds %+v after %q", rec, r.history())
		}
	})
}

func TestValidatorIsKeptWhereOnlyTheSignatureIsNew(t *testing.T) {
	record := func(validator journal.Validator) journal.Record {
		return journal.Record{Job: journal.Job{URL: "https://store.example:8443/fw/u.bin?sig=1"}, Validator: validator}
	}
	learned := journal.Validator{ETag: `"abc"`, LastModified: "Fri, 31 Dec 1999 00:00:00 GMT", Total: 77}
	size := journal.Validator{Total: 77}
	for url, want := range map[string]journal.Validator{
		"https://store.example:8443/fw/u.bin?sig=1":         learned,
		"https://store.example:8443/fw/u.bin?sig=2&x=y":     learned,
		"https://store.example:8443/fw/u.bin":               learned,
		"https://store.example:8443/fw/u2.bin?sig=1":        size,
		"https://store.example:8443/u.bin?sig=1":            size,
		"https://store.example/fw/u.bin?sig=1":              size,
		"https://other.example:8443/fw/u.bin?sig=1":         size,
		"http://store.example:8443/fw/u.bin?sig=1":          size,
		"https://user:pw@store.example:8443/fw/u.bin?sig=1": learned,
	} {
		if got := fsm.KeptValidator(record(learned), url); got != want {
			t.Errorf("under %s the validator is %+v, want %+v", url, got, want)
		}
	}
}

func TestReadyPackageIsFetchedAnewOnlyWhenItIsGone(t *testing.T) {
	tests := []struct {
		name     string
		take     func(r *rig) error
		requests int
	}{
		{"there", func(r *rig) error { return nil }, 1},
		{"taken away", func(r *rig) error { return os.Remove(r.path("u.bin")) }, 2},
		{"cut", func(r *rig) error { return os.Truncate(r.path("u.bin"), 5) }, 2},
		{"written to", func(r *rig) error { return flipByte(r.path("u.bin"), 5) }, 2},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t).begin()
			r.fetched()
			must(t, tt.take(r))
			r.start(r.job())
			r.fetched()
			if n := len(r.requests()); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
		})
	}
}

func TestCommandsEndWithTheirContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.open() // nobody runs it
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Start(ctx, r.job()); !errors.Is(err, ctx.Err()) || err == nil {
			t.Errorf("start: %v", err)
		}
		if err := r.Reset(ctx); !errors.Is(err, ctx.Err()) {
			t.Errorf("reset: %v", err)
		}
	})
}

// A stop during a command ends the work as well. That is no failure of the job.
func TestStopDuringACommandIsNoFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 12 { // of two things that are due, Run takes either
			r := newRig(t, origintest.Always().StallAt(2*interval)).begin()
			synctest.Wait()
			slow := true
			r.before("update", func() error {
				if !slow {
					return nil
				}
				slow = false
				time.Sleep(time.Second)
				return syscall.EIO
			})
			job := r.job()
			job.URL += "-renewed"
			go r.Start(t.Context(), job)
			synctest.Wait()
			r.cancel()
			time.Sleep(2 * time.Second)
			r.end()
			if rec, _ := r.record(); rec.State != string(fsm.Downloading) {
				t.Fatalf("%s %q after a stop", rec.State, rec.Error)
			}
		}
	})
}
