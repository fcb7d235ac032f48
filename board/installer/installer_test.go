package installer

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
)

func TestPackageIsInstalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(0))
		b.h.SignedBy = "ABCD"
		o := b.serve()
		time.Sleep(24 * time.Hour)
		b.wantRuns(1)
		b.wantStates("running success")
		o.end()
		b.reboot("boot 2")
		b.serve()
		time.Sleep(24 * time.Hour)
		b.wantRuns(1)
		p := b.begun()[0]
		p.wantVariables(t, "OTAD_EVENT=ready", "OTAD_PACKAGE=/state/u.zip", "OTAD_NAME=u.zip", "OTAD_VERSION=1.2.3", "OTAD_SIZE=5",
			"OTAD_MD5=0a", "OTAD_SHA256=0b", "OTAD_SIGNED_BY=ABCD", "OTAD_ATTEMPT=1", "OTAD_JOB=7")
		for _, v := range p.environment {
			name, _, _ := strings.Cut(v, "=")
			if !strings.HasPrefix(name, "OTAD_") && name != "PATH" && name != "TZ" && name != "LANG" {
				t.Errorf("%s is handed down", v)
			}
		}
	})
}

func TestRebootIsSeenByAnotherBootID(t *testing.T) {
	for name, tt := range map[string]struct {
		verdict []end
		states  string
		error   string
	}{
		"it has worked":      {[]end{exits(0)}, "running rebooting running success", ""},
		"it was rolled back": {[]end{exits(1)}, "running rebooting running failed", "INSTALL_FAILED: rolled back: exit 1: line"},
		"it is not known yet": {[]end{exits(75), exits(75), exits(0)},
			"running rebooting running waiting running waiting running success", ""},
	} {
		run(t, name, func(t *testing.T) {
			b := newBoard(t, append([]end{exits(10)}, tt.verdict...)...)
			b.serve().end()
			o := b.serve() // in the same boot
			time.Sleep(24 * time.Hour)
			b.wantRuns(1)
			b.wantStates("running rebooting")
			o.end()
			b.reboot("boot 2")
			b.change(func() { b.h.Intact = false }) // who has installed a package may delete it
			b.serve()
			time.Sleep(time.Hour)
			b.wantStates(tt.states)
			b.begun()[1].wantVariables(t, "OTAD_EVENT=rebooted", "OTAD_ATTEMPT=2")
			if got := b.install().Error; got != tt.error {
				t.Errorf("error %q, want %q", got, tt.error)
			}
		})
	}
}

func TestNotNowIsAskedAgainAtGrowingDistances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(75))
		b.serve()
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		var waits []time.Duration
		all := b.begun()
		for i, p := range all[1:] {
			waits = append(waits, p.at.Sub(all[i].at))
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			if waits[i] != want*time.Minute {
				t.Errorf("wait %d is %v, want %v", i+1, waits[i], want*time.Minute)
			}
		}
		if len(all) < 48 {
			t.Errorf("only %d runs: it gave up", len(all))
		}
	})
}

// What the command waits for may be a restart of the board.
func TestStartShortensTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(75))
		b.h.Install = journal.Install{State: "waiting", Attempt: 0, Wait: 3600, Step: 9}
		b.serve()
		time.Sleep(firstWait - time.Second)
		b.wantRuns(0)
		time.Sleep(time.Second)
		b.wantRuns(1)
		time.Sleep(59 * time.Minute)
		b.wantRuns(1)
	})
}

func TestOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(1), exits(0))
		b.cfg.OnRequest = true
		o := b.serve()
		time.Sleep(24 * time.Hour)
		b.wantRuns(0)
		if err := o.Install(t.Context(), "9.9.9"); !errors.Is(err, fsm.ErrNoPackage) {
			t.Errorf("another version: %v", err)
		}
		for n, state := range []string{"failed", "success", "success"} { // the request after a success runs nothing
			if err := o.Install(t.Context(), "1.2.3"); err != nil {
				t.Fatalf("request %d: %v", n+1, err)
			}
			b.wantRuns(min(n+1, 2))
			if got := b.install().State; got != state {
				t.Errorf("after request %d it is %s, want %s", n+1, got, state)
			}
		}
		b.wantStates("waiting running failed waiting running success")
		b.begun()[1].wantVariables(t, "OTAD_ATTEMPT=2")
	})
}

// The reply is given when the request is in the journal: a power cut right after it
// does not lose the request.
func TestRequestSurvivesAPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(0))
		b.cfg.OnRequest = true
		i, err := New(b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		b.change(func() { b.wake = i.Wake })
		if err := i.Install(t.Context(), "1.2.3"); err != nil {
			t.Fatal(err)
		}
		b.reboot("boot 2")
		b.serve()
		b.wantStates("waiting running success")
	})
}

func TestRequestIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(b *board)
		want   error
	}{
		"no job":             {func(b *board) { b.ready, b.state, b.h.Job.Version = false, fsm.Idle, "" }, fsm.ErrNoPackage},
		"being fetched":      {func(b *board) { b.ready, b.state = false, fsm.Downloading }, fsm.ErrNotReady},
		"digested again":     {func(b *board) { b.h.Proving = true }, fsm.ErrNotReady},
		"failed":             {func(b *board) { b.ready, b.state = false, fsm.Failed }, fsm.ErrNotReady},
		"another is fetched": {func(b *board) { b.ready, b.state, b.h.Job.Version = false, fsm.Downloading, "2.0.0" }, fsm.ErrNoPackage},
		"being installed":    {func(b *board) { b.h.Install.State = "running" }, fsm.ErrInstalling},
		"a reboot is due":    {func(b *board) { b.h.Install = journal.Install{State: "rebooting", Reboot: "boot 1"} }, fsm.ErrInstalling},
		"its file is gone":   {func(b *board) { b.h.Intact = false }, fsm.ErrNoPackage},
		"the disk is full":   {func(b *board) { b.broken = errDisk }, errDisk},
		"too old": {func(b *board) {
			b.h.Install = journal.Install{Age: 47 * 3600, AgedBoot: "an earlier one"}
			time.Sleep(time.Hour + time.Second)
		}, fsm.ErrExpired},
	} {
		run(t, name, func(t *testing.T) {
			b := newBoard(t, exits(0))
			b.cfg.OnRequest, b.cfg.MaxAge = true, 48*time.Hour
			i, err := New(b.cfg)
			if err != nil {
				t.Fatal(err)
			}
			b.change(func() { b.wake = i.Wake })
			tt.change(b)
			if err := i.Install(t.Context(), "1.2.3"); !errors.Is(err, tt.want) {
				t.Errorf("answered %v, want %v", err, tt.want)
			}
			b.wantStates("")
		})
	}
}

func TestStopWaitsForTheCommand(t *testing.T) {
	for name, tt := range map[string]struct {
		ends   time.Duration // of the command, after the stop; 0: it does not
		waited time.Duration
		states string
		asked  bool
	}{
		"that ends in time":   {50 * time.Second, 50 * time.Second, "running success", false},
		"that does not":       {0, time.Minute, "running waiting", true},
		"that ends at once":   {time.Nanosecond, time.Nanosecond, "running success", false},
		"that ends too late ": {61 * time.Second, time.Minute, "running waiting", true},
	} {
		run(t, name, func(t *testing.T) {
			b := newBoard(t, exits(runs), exits(0))
			o := b.serve()
			b.wantRuns(1)
			p := b.begun()[0]
			if tt.ends > 0 {
				time.AfterFunc(tt.ends, func() {
					if !p.asked.Load() {
						p.ended <- Exit{Code: 0}
					}
				})
			}
			began := time.Now()
			o.end()
			if took := time.Since(began); took != tt.waited || p.asked.Load() != tt.asked {
				t.Errorf("stopped after %v, the command was ended: %v; want %v, %v", took, p.asked.Load(), tt.waited, tt.asked)
			}
			b.wantStates(tt.states)
			if !tt.asked {
				return
			}
			if in := b.install(); in.Wait != 0 || in.Unknown != 0 || in.Cut != 0 || in.Exit != -1 {
				t.Errorf("a stop counts against the command: %+v", in)
			}
			b.serve()
			b.wantStates(tt.states + " running success")
		})
	}
}

func TestTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(runs))
		b.serve()
		time.Sleep(30*time.Minute - time.Second)
		synctest.Wait()
		if b.begun()[0].asked.Load() {
			t.Error("ended before the limit")
		}
		time.Sleep(24 * time.Hour)
		b.wantRuns(maxUnknown + 1)
		if in := b.install(); in.State != "failed" || in.Error != "INSTALL_FAILED: not done within 30m0s: ended" {
			t.Errorf("%s: %s", in.State, in.Error)
		}
	})
}

// A run whose end nobody has seen is run again, and counted before.
func TestPowerCutDuringTheCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(runs), exits(runs), exits(0))
		for n := range 2 {
			o := b.serve()
			b.wantRuns(n + 1)
			if in := b.install(); in.State != "running" || in.PID != 100 || in.Started != 200 || in.Cut != n {
				t.Errorf("in run %d the journal says %+v", n+1, in)
			}
			b.kill(o)
			b.reboot("boot after cut")
		}
		b.serve()
		b.wantRuns(3)
		if in := b.install(); in.State != "success" || in.Attempt != 3 {
			t.Errorf("%+v", in)
		}
	})
}

func TestCommandThatCrashesTheBoardIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(runs))
		for range 2 * maxCut {
			o := b.serve()
			b.kill(o)
			b.reboot("another")
		}
		b.serve()
		b.wantRuns(maxCut + 1)
		if in := b.install(); in.State != "failed" || !strings.Contains(in.Error, "ended during 11 runs in a row") {
			t.Errorf("%s: %s", in.State, in.Error)
		}
	})
}

func TestPackageThatIsGivenUpEndsItsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(runs), exits(0))
		o := b.serve()
		b.wantRuns(1)
		b.change(func() {
			b.h.ID, b.h.Install = 8, journal.Install{}
		})
		o.Wake(fsm.Snapshot{})
		synctest.Wait()
		if !b.begun()[0].asked.Load() {
			t.Error("the command was not ended")
		}
		b.wantRuns(2) // of the next package
		b.begun()[1].wantVariables(t, "OTAD_JOB=8", "OTAD_ATTEMPT=1")
		b.wantStates("running success")
	})
}

// Nothing is begun with a package that is being digested again; a command that runs
// already goes on, and its end is written.
func TestPackageIsDigestedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(runs))
		b.h.Proving = true
		o := b.serve()
		b.wantRuns(0)
		b.change(func() { b.h.Proving = false })
		o.Wake(fsm.Snapshot{})
		b.wantRuns(1)
		b.change(func() { b.h.Proving = true })
		o.Wake(fsm.Snapshot{})
		synctest.Wait()
		p := b.begun()[0]
		if p.asked.Load() {
			t.Fatal("the command was ended")
		}
		p.ended <- Exit{Code: 0}
		b.wantStates("running success")
	})
}

func TestCommandThatCannotBeStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, end{Exit: Exit{Code: -1}, refused: syscall.ENOEXEC})
		b.serve()
		time.Sleep(24 * time.Hour)
		b.wantRuns(1)
		b.wantStates("running failed")
	})
}

// While the journal does not say that the command was started, it is not.
func TestNothingIsStartedWithoutTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(0))
		b.broken = errDisk
		b.serve()
		time.Sleep(time.Hour)
		b.wantRuns(0)
		b.change(func() {
			b.broken = nil
		})
		time.Sleep(journalRetry)
		b.wantStates("running success")
	})
}

// The end of a run that the journal does not take is not lost, and the command not
// run again for it.
func TestEndIsWrittenWhenTheJournalTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(runs))
		b.serve()
		b.change(func() {
			b.broken = errDisk
		})
		b.begun()[0].ended <- Exit{Code: 0}
		time.Sleep(time.Hour)
		b.wantStates("running")
		b.change(func() {
			b.broken = nil
		})
		time.Sleep(journalRetry)
		b.wantStates("running success")
		b.wantRuns(1)
	})
}

func TestPackageThatIsGoneIsNotInstalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(0))
		b.h.Intact = false
		b.serve()
		time.Sleep(24 * time.Hour)
		b.wantRuns(0)
		b.wantStates("")
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(75))
		b.serve()
		b.change(func() {
			b.h.Intact = false
		})
		time.Sleep(24 * time.Hour)
		b.wantRuns(1)
		b.wantStates("running waiting failed")
	})
}

// The age is stored every hour, so that a board that is off for a while each day
// comes to its limit all the same.
func TestExpiredPackageIsNotInstalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(0))
		b.cfg.OnRequest, b.cfg.MaxAge = true, 48*time.Hour
		for day := range 5 {
			o := b.serve()
			time.Sleep(10*time.Hour + time.Minute)
			if err := o.Install(t.Context(), "1.2.3"); day < 4 {
				if err != nil {
					t.Fatalf("on day %d: %v", day, err)
				}
			} else if !errors.Is(err, fsm.ErrExpired) {
				t.Errorf("on day %d: %v, age %d s", day, err, b.install().Age)
			}
			synctest.Wait()
			o.end()
			b.change(func() { b.h.Install.State = "" })
			b.reboot("day " + string(rune('0'+day)))
			b.change(func() { b.runs = nil })
		}
	})
	// Under auto it has to wait for something to come to its age.
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(75))
		b.cfg.MaxAge = 48 * time.Hour
		b.serve()
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		in := b.install()
		if in.State != "failed" || in.Code != "PACKAGE_EXPIRED" || !strings.HasPrefix(in.Error, "PACKAGE_EXPIRED: Ready for 48h") {
			t.Errorf("%s: %s", in.State, in.Error)
		}
	})
	// A reboot that came late is still looked at.
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, exits(10), exits(0))
		b.cfg.MaxAge = 48 * time.Hour
		o := b.serve()
		time.Sleep(72 * time.Hour)
		o.end()
		b.reboot("boot 2")
		b.serve()
		b.wantStates("running rebooting running success")
	})
}
