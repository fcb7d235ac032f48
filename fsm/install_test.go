package fsm_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/metrics"
)

// handed returns the package that is Ready, which must be the rig's job.
func (p *process) handed() fsm.Handover {
	p.rig.t.Helper()
	h, ready := p.Handover()
	if !ready || h.Job.Name != "u.bin" {
		p.rig.t.Fatalf("nothing is handed over: %+v, %v", h, ready)
	}
	return h
}

// set changes the installation of the package that is Ready.
func (p *process) set(change func(*journal.Install)) error {
	p.rig.t.Helper()
	return p.SetInstall(p.rig.t.Context(), p.handed().ID, func(i *journal.Install) error { change(i); return nil }, fsm.InstallReport{})
}

func TestInstallationIsDurableBeforeItIsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.KeepOutbox = true
		var stages []string
		r.cfg.OnChange = func(s fsm.Snapshot) {
			rec, _, err := journal.Peek(r.dir)
			must(t, err)
			if shown := fsm.SnapshotOf(rec, nil); shown.Stage != s.Stage || shown.Message != s.Message && s.Stage != "" {
				t.Errorf("%q %q is shown while the journal says %q %q", s.Stage, s.Message, shown.Stage, shown.Message)
			}
			if n := len(stages); s.Stage != "" && (n == 0 || stages[n-1] != string(s.Stage)) {
				stages = append(stages, string(s.Stage))
			}
		}
		r.begin()
		r.fetched()
		for _, change := range []func(*journal.Install){
			func(i *journal.Install) { i.State, i.Attempt = "running", 1 },
			func(i *journal.Install) { i.PID = 7 },
			func(i *journal.Install) { i.State = "waiting" },
			func(i *journal.Install) { i.State = "running" },
			func(i *journal.Install) { i.State, i.Reboot = "rebooting", "boot" },
			func(i *journal.Install) { i.State = "running" },
			func(i *journal.Install) {
				i.State, i.Error, i.Code = "failed", "INSTALL_FAILED: exit 1", "INSTALL_FAILED"
			},
			func(i *journal.Install) { i.State, i.Reboot, i.Error, i.Code = "waiting", "", "", "" },
			func(i *journal.Install) { i.State = "success" },
		} {
			must(t, r.set(change))
		}
		want := []string{"installing", "rebooting", "failed", "installing", "success"}
		if !slices.Equal(stages, want) {
			t.Errorf("shown %q, want %q", stages, want)
		}
		var entries []string
		for _, e := range r.journal.Record().Outbox {
			if e.Install != "" {
				entries = append(entries, fmt.Sprintf("%s %s %d %s", e.State, e.Install, e.Progress, e.Error))
			}
		}
		if wanted := []string{"Ready installing 0 ", "Ready rebooting 100 ", "Ready failed 100 INSTALL_FAILED: exit 1", "Ready installing 0 ",
			"Ready success 100 "}; !slices.Equal(entries, wanted) {
			t.Errorf("the outbox has %q, want %q", entries, wanted)
		}
		if s := r.Snapshot(); s.State != fsm.Ready || s.Message != "Installed" || s.Error != "" || s.Progress != 100 {
			t.Errorf("%+v", s)
		}
		// A reboot changes nothing of it.
		r.end()
		r.boot().await(fsm.Ready)
		if s := r.Snapshot(); s.Stage != fsm.StageSucceeded || r.handed().Install.Attempt != 1 {
			t.Errorf("after a restart %q, %+v", s.Stage, r.handed().Install)
		}
	})
}

func TestInstallationThatIsNotWrittenIsNotShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		before := r.Snapshot()
		r.faults.set(func(op string, _ int64) error {
			if op == "update" {
				return syscall.EIO
			}
			return nil
		})
		if err := r.set(func(i *journal.Install) { i.State = "success" }); !errors.Is(err, syscall.EIO) {
			t.Errorf("returned %v", err)
		}
		r.faults.set(nil)
		if s := r.Snapshot(); s.Stage != before.Stage || s.Message != before.Message {
			t.Errorf("%q is shown", s.Stage)
		}
		refused := errors.New("refused")
		err := r.SetInstall(t.Context(), r.handed().ID, func(*journal.Install) error { return refused }, fsm.InstallReport{})
		if !errors.Is(err, refused) || r.handed().Install.State != "" {
			t.Errorf("returned %v, recorded %+v", err, r.handed().Install)
		}
	})
}

func TestInstallationEndsWithItsPackage(t *testing.T) {
	for name, replace := range map[string]func(r *rig) error{
		"reset":       func(r *rig) error { return r.Reset(r.t.Context()) },
		"another job": func(r *rig) error { return r.Start(r.t.Context(), r.other()) },
	} {
		run(t, name, func(t *testing.T) {
			r := newRig(t).begin()
			r.fetched()
			id := r.handed().ID
			must(t, r.set(func(i *journal.Install) { i.State = "waiting" }))
			must(t, replace(r))
			if in := r.journal.Record().Install; in != (journal.Install{}) {
				t.Errorf("left behind: %+v", in)
			}
			late := func(i *journal.Install) error { i.State = "success"; return nil }
			if err := r.SetInstall(t.Context(), id, late, fsm.InstallReport{Result: metrics.InstallSucceeded}); !errors.Is(err, fsm.ErrNotReady) {
				t.Errorf("what came late returned %v", err)
			}
			if name == "another job" {
				r.await(fsm.Ready)
				if err := r.SetInstall(t.Context(), id, late, fsm.InstallReport{}); !errors.Is(err, fsm.ErrNotReady) {
					t.Errorf("what came when the other one was Ready returned %v", err)
				}
			}
			synctest.Wait()
			if s := r.Snapshot(); s.Stage != "" {
				t.Errorf("%q is shown", s.Stage)
			}
			if h, ready := r.Handover(); ready && h.ID == id {
				t.Error("another download has the same ID")
			}
		})
	}
}

// The package was replaced, and is not the one that was installed.
func TestInstallationEndsWithAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		must(t, r.set(func(i *journal.Install) { i.State, i.Reboot = "rebooting", "boot" }))
		r.end()
		must(t, os.WriteFile(r.path("u.bin"), []byte("another"), 0o644))
		r.boot()
		r.failed("")
		if in := r.journal.Record().Install; in != (journal.Install{}) {
			t.Errorf("left behind: %+v", in)
		}
	})
}

// A package must not be taken from under an installer that runs.
func TestAnotherJobWaitsForTheInstaller(t *testing.T) {
	for _, tt := range []struct {
		state   fsm.InstallState
		handOff bool
		want    error
	}{
		{fsm.InstallRunning, true, fsm.ErrInstalling},
		{fsm.InstallRunning, false, nil}, // nobody is there to end it
		{fsm.InstallWaiting, true, nil},
		{fsm.InstallRebooting, true, nil},
		{fsm.InstallFailed, true, nil},
	} {
		run(t, fmt.Sprint(tt.state, tt.handOff), func(t *testing.T) {
			r := newRig(t)
			r.cfg.HandOff = tt.handOff
			r.begin()
			r.fetched()
			must(t, r.set(func(i *journal.Install) { i.State = string(tt.state) }))
			if err := r.Start(t.Context(), r.job()); err != nil {
				t.Errorf("the same job: %v", err)
			}
			if err := r.Start(t.Context(), r.other()); !errors.Is(err, tt.want) {
				t.Errorf("another job: %v, want %v", err, tt.want)
			}
		})
	}
}

// The installer outlives the machine while its command runs.
func TestInstallationIsWrittenAfterTheMachineHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		p, id := r.process, r.handed().ID
		p.cancel()
		synctest.Wait()
		must(t, p.SetInstall(t.Context(), id, func(i *journal.Install) error { i.State = "success"; return nil }, fsm.InstallReport{}))
		if s := p.Snapshot(); s.Stage != fsm.StageSucceeded {
			t.Errorf("shown is %q", s.Stage)
		}
		r.end()
		if rec, _, err := journal.Peek(r.dir); err != nil || rec.Install.State != "success" {
			t.Errorf("recorded is %+v, %v", rec.Install, err)
		}
	})
}

// At a start a package that somebody has touched is digested again. What the
// installer says meanwhile is recorded, and shown afterwards.
func TestInstallationIsWrittenWhileThePackageIsProvedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		id := r.handed().ID
		must(t, r.set(func(i *journal.Install) { i.State = "running" }))
		r.end()
		must(t, os.Chtimes(r.path("u.bin"), time.Time{}, time.Unix(1, 0)))
		r.cfg.HandOff = true
		p := r.open()
		p.cancel() // Run ends before the digest
		r.boot()
		synctest.Wait()
		h := p.handed()
		if s := p.Snapshot(); s.State != fsm.Verifying || !h.Proving || h.Intact || h.ID != id {
			t.Fatalf("%s, %+v", s.State, h)
		}
		must(t, p.set(func(i *journal.Install) { i.State = "success" }))
		if s := p.Snapshot(); s.Stage != "" || s.Message != "Verifying" {
			t.Errorf("shown is %q, %q", s.Stage, s.Message)
		}
		r.end()
		r.boot()
		r.await(fsm.Ready)
		if s := r.Snapshot(); s.Stage != fsm.StageSucceeded || r.handed().Proving {
			t.Errorf("%+v", s)
		}
	})
}

func TestOnlyAPackageThatIsThereIsIntact(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.boot()
		if _, ready := r.Handover(); ready {
			t.Error("without a job something is handed over")
		}
		r.start(r.job())
		r.fetched()
		if h := r.handed(); !h.Intact || h.ID != r.journal.Record().Generation || h.Job.MD5 == "" {
			t.Errorf("%+v", h)
		}
		must(t, os.Remove(r.path("u.bin")))
		if r.handed().Intact {
			t.Error("a package that is gone is intact")
		}
	})
}
