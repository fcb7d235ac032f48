package installer

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/metrics"
)

func TestWhatTheJournalSaysAfterARun(t *testing.T) {
	exit := func(code int) end { return end{Exit: Exit{Code: code, Line: "last line"}} }
	killed := end{Exit: Exit{Code: -1, Signal: "killed"}}
	first := journal.Install{State: "running", Attempt: 1, Boot: "a", PID: 7, Started: 8}
	rebooted := first
	rebooted.Reboot = "earlier"
	unknown := first
	unknown.Unknown = maxUnknown
	stepped := first
	stepped.Step, stepped.Unknown, stepped.Cut = 20, 2, 5
	for name, tt := range map[string]struct {
		before journal.Install
		end    end
		state  fsm.InstallState
		result metrics.InstallResult
		wait   time.Duration
		error  string
	}{
		"done":                          {first, exit(0), fsm.InstallSucceeded, metrics.InstallSucceeded, 0, ""},
		"takes effect after a reboot":   {first, exit(10), fsm.InstallRebooting, metrics.InstallReboot, 0, ""},
		"not now":                       {first, exit(75), fsm.InstallWaiting, metrics.InstallLater, time.Minute, ""},
		"not now, as so often":          {stepped, exit(75), fsm.InstallWaiting, metrics.InstallLater, time.Hour, ""},
		"failed":                        {first, exit(1), fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: exit 1: last line"},
		"failed without a word":         {first, end{Exit: Exit{Code: 3}}, fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: exit 3"},
		"not executable":                {first, exit(126), fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: exit 126: last line"},
		"not found":                     {first, exit(127), fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: exit 127: last line"},
		"the reboot has worked":         {rebooted, exit(0), fsm.InstallSucceeded, metrics.InstallSucceeded, 0, ""},
		"not known yet":                 {rebooted, exit(75), fsm.InstallWaiting, metrics.InstallLater, time.Minute, ""},
		"rolled back":                   {rebooted, exit(1), fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: rolled back: exit 1: last line"},
		"another reboot is not asked":   {rebooted, exit(10), fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: rolled back: exit 10: last line"},
		"a signal":                      {first, killed, fsm.InstallWaiting, metrics.InstallInterrupted, time.Minute, ""},
		"a signal too often":            {unknown, killed, fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: ended by a signal: killed"},
		"a signal after the reboot":     {rebooted, killed, fsm.InstallWaiting, metrics.InstallInterrupted, time.Minute, ""},
		"too slow":                      {first, end{Exit: Exit{Code: -1}, limit: time.Hour}, fsm.InstallWaiting, metrics.InstallInterrupted, time.Minute, ""},
		"too slow too often":            {unknown, end{Exit: Exit{Code: -1}, limit: time.Hour}, fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: not done within 1h0m0s"},
		"ended with otad":               {unknown, end{Exit: Exit{Code: -1}, stopped: true}, fsm.InstallWaiting, metrics.InstallInterrupted, 0, ""},
		"gone":                          {first, end{Exit: Exit{Code: -1}, refused: &fs.PathError{Op: "fork/exec", Path: "/x", Err: syscall.ENOENT}}, fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: cannot be started: fork/exec /x: no such file or directory"},
		"no right to start it":          {first, end{Exit: Exit{Code: -1}, refused: syscall.EACCES}, fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: cannot be started: permission denied"},
		"no memory to start it":         {first, end{Exit: Exit{Code: -1}, refused: syscall.ENOMEM}, fsm.InstallWaiting, metrics.InstallInterrupted, time.Minute, ""},
		"no memory to start it, always": {unknown, end{Exit: Exit{Code: -1}, refused: syscall.ENOMEM}, fsm.InstallFailed, metrics.InstallFailed, 0, "INSTALL_FAILED: cannot be started: cannot allocate memory"},
	} {
		t.Run(name, func(t *testing.T) {
			in := tt.before
			result := over(&in, tt.end, "now")
			if in.State != string(tt.state) || result != tt.result || in.Error != tt.error || in.Wait != int64(tt.wait/time.Second) {
				t.Errorf("%s, %s, wait %d s, error %q; want %s, %s, %v, %q", in.State, result, in.Wait, in.Error, tt.state, tt.result, tt.wait, tt.error)
			}
			if in.PID != 0 || in.Started != 0 || in.Cut != 0 || in.Attempt != tt.before.Attempt {
				t.Errorf("left behind: %+v", in)
			}
			if rebooting := tt.state == fsm.InstallRebooting; rebooting && in.Reboot != "now" || !rebooting && in.Reboot != tt.before.Reboot {
				t.Errorf("the reboot is from %q", in.Reboot)
			}
			if (in.Error != "") != (in.Code != "") || !strings.HasPrefix(in.Error, in.Code) {
				t.Errorf("code %q of error %q", in.Code, in.Error)
			}
		})
	}
}

func TestWaitsDoubleUpToAnHour(t *testing.T) {
	in := journal.Install{}
	for _, minutes := range []int64{1, 2, 4, 8, 16, 32, 60, 60} {
		begun(&in, "boot")
		over(&in, end{Exit: Exit{Code: 75}}, "boot")
		if in.Wait != minutes*60 {
			t.Errorf("after %d runs a wait of %d s, want %d min", in.Attempt, in.Wait, minutes)
		}
	}
}

// A signal, the time limit and a wait that the command asks for: only the first two
// are counted, and only in a row.
func TestUnknownEndsAreCountedInARow(t *testing.T) {
	in := journal.Install{}
	run := func(code int) { begun(&in, "boot"); over(&in, end{Exit: Exit{Code: code}}, "boot") }
	for range 10 {
		run(-1)
		run(-1)
		run(-1)
		run(75)
	}
	for range maxUnknown {
		run(-1)
	}
	if in.State != string(fsm.InstallWaiting) {
		t.Fatalf("%s after %d in a row", in.State, maxUnknown)
	}
	if run(-1); in.State != string(fsm.InstallFailed) {
		t.Errorf("%s after %d in a row", in.State, maxUnknown+1)
	}
}

func TestRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		before          journal.Install
		intact, expired bool
		want            error
		reboot          string
	}{
		"the first":                      {journal.Install{}, true, false, nil, ""},
		"again after a failure":          {journal.Install{State: "failed", Attempt: 3, Unknown: 4, Step: 5, Cut: 6, Error: "E: x", Code: "E"}, true, false, nil, ""},
		"again after a roll-back":        {journal.Install{State: "failed", Reboot: "boot"}, true, false, nil, ""},
		"while it waits":                 {journal.Install{State: "waiting", Wait: 60, Step: 3}, true, false, nil, ""},
		"while it waits after a reboot":  {journal.Install{State: "waiting", Wait: 60, Reboot: "boot"}, false, true, nil, "boot"},
		"while it runs":                  {journal.Install{State: "running"}, true, false, fsm.ErrInstalling, ""},
		"while a reboot is due":          {journal.Install{State: "rebooting", Reboot: "boot"}, true, false, fsm.ErrInstalling, ""},
		"installed":                      {journal.Install{State: "success"}, false, true, errInstalled, ""},
		"without the package":            {journal.Install{}, false, false, fsm.ErrNoPackage, ""},
		"too late":                       {journal.Install{}, true, true, fsm.ErrExpired, ""},
		"failed, and without a package":  {journal.Install{State: "failed"}, false, false, fsm.ErrNoPackage, ""},
		"rolled back, and then too late": {journal.Install{State: "failed", Reboot: "boot"}, true, true, fsm.ErrExpired, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := tt.before
			if err := request(&in, tt.intact, tt.expired); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("answered %v, want %v", err, tt.want)
			}
			if tt.want != nil {
				return
			}
			want := journal.Install{State: "waiting", Attempt: tt.before.Attempt, Reboot: tt.reboot}
			if in != want {
				t.Errorf("recorded %+v, want %+v", in, want)
			}
		})
	}
}

func TestAgeIsCountedWithoutTheWallClock(t *testing.T) {
	at := func(id string, up time.Duration) Boot { return Boot{ID: id, Up: up} }
	var in journal.Install
	if got := ageNow(in, at("a", time.Hour)); got != 0 {
		t.Errorf("a package that was just seen is %v old", got)
	}
	counted(&in, at("a", time.Hour))
	if got := ageNow(in, at("a", 3*time.Hour)); got != 2*time.Hour {
		t.Errorf("two hours later %v", got)
	}
	counted(&in, at("a", 3*time.Hour))
	// The power goes, for whatever time. What was not stored is lost.
	if got := ageNow(in, at("b", time.Minute)); got != 2*time.Hour+time.Minute {
		t.Errorf("a minute after a boot %v", got)
	}
	counted(&in, at("b", time.Minute))
	counted(&in, at("b", time.Hour))
	if got := ageNow(in, at("c", 0)); got != 3*time.Hour {
		t.Errorf("after three boots %v", got)
	}
	if got := ageNow(in, at("b", 0)); got != 3*time.Hour {
		t.Errorf("a clock that went back gives %v", got)
	}
}

func TestCutRunsAreTriedAgainTenTimes(t *testing.T) {
	var in journal.Install
	for n := range maxCut + 1 {
		if isGivenUp(in) {
			t.Fatalf("given up after %d cut runs", n)
		}
		begun(&in, "boot")
	}
	if in.Attempt != maxCut+1 || in.Cut != maxCut || !isGivenUp(in) {
		t.Errorf("not given up: %+v", in)
	}
	over(&in, end{Exit: Exit{Code: 75}}, "boot")
	if begun(&in, "boot"); isGivenUp(in) || in.Cut != 0 {
		t.Errorf("a run that came to its end does not count: %+v", in)
	}
}
