package fsm_test

import (
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// inState brings a board into each of the states and leaves otad running.
func inState() map[fsm.State]func(t *testing.T) *rig {
	return map[fsm.State]func(t *testing.T) *rig{
		fsm.Idle: func(t *testing.T) *rig { r := newRig(t); r.boot(); return r },
		fsm.Downloading: func(t *testing.T) *rig {
			r := newRig(t, origintest.On(1).StallAt(2*interval+5)).begin()
			<-r.origin.Stalled()
			return r
		},
		fsm.Verifying: func(t *testing.T) *rig {
			r := newRig(t)
			var once sync.Once
			reading := make(chan struct{})
			r.cfg.Readback = true
			r.cfg.OnChange = func(s fsm.Snapshot) {
				if s.State == fsm.Verifying && s.Progress > 0 && s.Progress < 100 {
					once.Do(func() { close(reading); time.Sleep(time.Second) })
				}
			}
			r.begin()
			<-reading
			return r
		},
		fsm.Ready: func(t *testing.T) *rig { r := newRig(t); r.boot(); r.start(r.job()); r.fetched(); return r },
		fsm.Failed: func(t *testing.T) *rig {
			r := newRig(t, origintest.Always().ResetAfter(1000)).begin()
			r.failed("DOWNLOAD_FAILED")
			return r
		},
	}
}

func TestResetLeavesNeitherJobNorPartialFile(t *testing.T) {
	for state, reach := range inState() {
		run(t, string(state), func(t *testing.T) {
			r := reach(t)
			if got := r.Snapshot().State; got != state {
				t.Fatalf("in %s", got)
			}
			must(t, r.Reset(t.Context()))
			rec, offset := r.record()
			rec.Generation = 0
			if offset != 0 || rec.State != string(fsm.Idle) || rec.Job != (journal.Job{}) || rec.PendingDeletes != nil || rec.Validator != (journal.Validator{}) {
				t.Errorf("the journal still holds %+v and a checkpoint at %d", rec, offset)
			}
			if s := r.Snapshot(); s != (fsm.Snapshot{State: fsm.Idle, ETA: -1, Message: "Updater ready"}) {
				t.Errorf("shown is %+v", s)
			}
			if r.exists("u.bin.otad-part") {
				t.Error("the partial file is still there")
			}
			r.origin.Release()
			r.start(r.other()) // and it works on
			r.await(fsm.Ready)
		})
	}
}

func TestPartialFileOfAReplacedJobIsDeleted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Span(1, 4).ResetAfter(1000)).begin()
		r.failed("DOWNLOAD_FAILED")
		if !r.exists("u.bin.otad-part") {
			t.Fatal("nothing to replace")
		}
		r.start(r.other())
		if s := r.await(fsm.Ready); s.State != fsm.Ready || r.exists("u.bin.otad-part") {
			t.Errorf("%s %s; the old partial file is there: %v", s.State, s.Error, r.exists("u.bin.otad-part"))
		}
	})
}

// The journal lists the file as pending delete, and the kill comes before the
// unlink.
func TestGivenUpFilesAreDeletedAfterACrash(t *testing.T) {
	ways := map[string]func(t *testing.T, r *rig){
		"replaced": func(t *testing.T, r *rig) { r.start(r.other()) },
		"reset": func(t *testing.T, r *rig) {
			if err := r.Reset(t.Context()); err != nil {
				t.Error(err)
			}
		},
	}
	for way, giveUp := range ways {
		run(t, way, func(t *testing.T) {
			r := newRig(t, origintest.Span(1, 4).ResetAfter(1000), origintest.On(5).StallAt(0)).begin()
			r.failed("DOWNLOAD_FAILED")
			r.refuse("remove", syscall.EIO)
			giveUp(t, r)
			synctest.Wait()
			r.kill()
			if rec, _ := r.record(); !slices.Equal(rec.PendingDeletes, []string{"u.bin"}) || !r.exists("u.bin.otad-part") {
				t.Fatalf("killed with pending deletes %q; the file is there: %v", rec.PendingDeletes, r.exists("u.bin.otad-part"))
			}
			r.boot()
			synctest.Wait()
			if rec, _ := r.record(); rec.PendingDeletes != nil || r.exists("u.bin.otad-part") {
				t.Errorf("after the next start: pending deletes %q, the file is there: %v", rec.PendingDeletes, r.exists("u.bin.otad-part"))
			}
		})
	}
}

// Another job of the same name uses the same file, which is truncated when it
// is opened. Deleting it later would delete the bytes of the new job.
func TestPartialFileOfTheCurrentJobIsNotDeleted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Span(1, 4).ResetAfter(1000), origintest.On(5).StallAt(3*interval))
		r.boot()
		job := r.job()
		r.start(job)
		r.failed("DOWNLOAD_FAILED")
		r.failOnce("remove", 1, syscall.EIO) // should it be tried before the file is opened
		job.Version = "2.0.0"
		r.start(job)
		<-r.origin.Stalled()
		synctest.Wait()
		r.kill()
		if rec, offset := r.record(); rec.PendingDeletes != nil || offset != 3*interval {
			t.Errorf("pending deletes %q, %d bytes durable", rec.PendingDeletes, offset)
		}
		r.boot()
		r.origin.Release()
		r.fetched()
		if first := r.requests()[0]; first.Offset != 3*interval {
			t.Errorf("the request is from %d, want %d", first.Offset, 3*interval)
		}
	})
}

// undeletable makes a directory in place of the partial file: no unlink removes
// it.
func undeletable(r *rig, name string) {
	r.t.Helper()
	if err := os.Mkdir(r.path(name+".otad-part"), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

func TestPartialFileThatCannotBeDeletedKeepsNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		undeletable(r, "b.bin")
		for _, name := range []string{"a.bin.otad-part", "c.bin.otad-part"} {
			must(t, os.WriteFile(r.path(name), []byte("left"), 0o600))
		}
		r.edit(func(j *journal.Journal) error {
			_, err := j.Update(func(rec *journal.Record) { rec.PendingDeletes = []string{"a.bin", "b.bin", "b.bin", "c.bin"} })
			return err
		})
		r.boot()
		synctest.Wait()
		if rec, _ := r.record(); !slices.Equal(rec.PendingDeletes, []string{"b.bin"}) || r.exists("a.bin.otad-part") || r.exists("c.bin.otad-part") {
			t.Errorf("pending deletes %q; left are a: %v, c: %v", rec.PendingDeletes, r.exists("a.bin.otad-part"), r.exists("c.bin.otad-part"))
		}
		// What kept it is gone: it goes with the next that is looked for.
		must(t, os.Remove(r.path("b.bin.otad-part")))
		must(t, os.WriteFile(r.path("b.bin.otad-part"), []byte("left"), 0o600))
		must(t, r.Reset(t.Context()))
		if rec, _ := r.record(); rec.PendingDeletes != nil {
			t.Errorf("pending deletes %q", rec.PendingDeletes)
		}
		r.wantOnlyJournal()
	})
}

func TestNameOfAFileThatCannotBeDeletedIsKeptOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		undeletable(r, "u.bin")
		r.boot()
		for range 3 {
			r.start(r.job())
			r.failed("DOWNLOAD_FAILED: ")
			must(t, r.Reset(t.Context()))
			if rec, _ := r.record(); !slices.Equal(rec.PendingDeletes, []string{"u.bin"}) {
				t.Errorf("pending deletes %q", rec.PendingDeletes)
			}
		}
		must(t, os.Remove(r.path("u.bin.otad-part")))
		r.stop()
		r.boot()
		synctest.Wait()
		if rec, _ := r.record(); rec.PendingDeletes != nil {
			t.Errorf("pending deletes %q of a file that is gone", rec.PendingDeletes)
		}
	})
}

// The record says how partial files are named, whatever else an event changes in
// it: a later start looks for them under that name.
func TestRecordKeepsTheSuffixOfPartialFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.begin()
		want := func(when string) {
			t.Helper()
			if rec, _ := r.record(); !rec.OwnSuffix {
				t.Errorf("%s: the record does not say that files are named by this build", when)
			}
		}
		want("started")
		r.fetched()
		want("ready")
		must(t, r.Reset(t.Context()))
		want("reset")
	})
}
