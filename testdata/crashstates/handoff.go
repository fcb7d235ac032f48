package crashstates

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"otad/board/installer"
	"otad/fsm"
	"otad/journal"
)

// HandOff is what is known of the installer of a job.
type HandOff struct {
	Ran     int       // highest attempt whose run has begun, by its own account
	Said    string    // exit code that the newest run was about to end with; empty: none yet
	SaidBy  int       // attempt of that run
	Shown   fsm.Stage // last stage that otad has reported
	Expects string    // exit code of the command in a start after the cut; empty: no installer
}

// The command writes two empty files to the state directory, where the recorder
// sees them: what it does to a board is as little in otad's transactions.
const (
	ranPrefix  = "ran-"  // and the attempt: it has begun
	saidPrefix = "said-" // and exit code and attempt: it ends
)

// installScript writes a command that ends with code, or after a reboot with 0.
func installScript(dir, code string) (path string, err error) {
	path = filepath.Join(dir, "install-"+code)
	return path, os.WriteFile(path, []byte(`#!/bin/sh
umask 0
code=`+code+`
[ "$OTAD_EVENT" = ready ] || code=0
: >> `+ranPrefix+`$OTAD_ATTEMPT
: >> `+saidPrefix+`$code-$OTAD_ATTEMPT
exit $code
`), 0o755)
}

// isNote reports whether name is a file that the command writes.
func isNote(name string) bool {
	return strings.HasPrefix(name, ranPrefix) || strings.HasPrefix(name, saidPrefix)
}

// after returns the hand-off after the creation of a file.
func (h HandOff) after(name string) HandOff {
	if text, ok := strings.CutPrefix(name, ranPrefix); ok {
		h.Ran, _ = strconv.Atoi(text)
		h.Said = ""
	}
	if text, ok := strings.CutPrefix(name, saidPrefix); ok {
		code, attempt, _ := strings.Cut(text, "-")
		h.Said = code
		h.SaidBy, _ = strconv.Atoi(attempt)
	}
	return h
}

// check compares what the journal says of the installation with what is known.
func (h HandOff) check(rec journal.Record) error {
	found, stage := rec.Install, fsm.SnapshotOf(rec, nil).Stage
	said := func(code string) bool { return h.Said == code && h.SaidBy == found.Attempt }
	switch {
	case h.Ran > found.Attempt:
		return fmt.Errorf("the installer was started %d times, the journal has counted %d", h.Ran, found.Attempt)
	case stage == fsm.StageSucceeded && !said("0"):
		return fmt.Errorf("success is recorded, and the installer has not said so")
	case found.State == string(fsm.InstallRebooting) && !said("10"):
		return fmt.Errorf("a reboot is recorded, and the installer has not asked for it")
	case stage == fsm.StageFailed && !said("1"):
		return fmt.Errorf("a failure is recorded, and the installer has not said so")
	case stageRank(stage) < stageRank(h.Shown):
		return fmt.Errorf("%s was reported, found is %q", h.Shown, stage)
	}
	return nil
}

// stageRank orders the stages of an installation: it never goes back.
func stageRank(s fsm.Stage) int {
	switch s {
	case fsm.StageInstalling:
		return 1
	case fsm.StageRebooting:
		return 2
	case fsm.StageSucceeded, fsm.StageFailed:
		return 3
	default:
		return 0
	}
}

// reportsStage returns a function that reports whether an operation is the report
// of that stage.
func reportsStage(stage fsm.Stage) func(Op) bool {
	return func(o Op) bool {
		r, ok := parseReport(string(o.Data))
		return o.Kind == Print && ok && r.Msg == "installation" && r.To == string(stage)
	}
}

// ranProcess is a run of the command that has ended.
type ranProcess chan installer.Exit

func (p ranProcess) ID() (int, uint64)            { return 1 << 30, 1 }
func (p ranProcess) Ended() <-chan installer.Exit { return p }
func (p ranProcess) End()                         {}

// install hands the package over after the cut, until the installation has come to
// an end: the board has booted, so the boot ID is another one.
func (m *machine) install(ctx context.Context, h HandOff) error {
	if h.Expects == "" {
		return nil
	}
	code, err := strconv.Atoi(h.Expects)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	i, err := installer.New(installer.Config{Updater: m.updater, Command: []string{"/install"}, Dir: m.dir.Path(), Timeout: time.Minute, Grace: 0,
		Log:  slog.New(slog.DiscardHandler),
		Boot: func() (installer.Boot, error) { return installer.Boot{ID: "after the cut"}, nil },
		Start: func(environment []string, _ func(string)) (installer.Process, error) {
			p := make(ranProcess, 1)
			e := installer.Exit{Code: code}
			for _, v := range environment {
				if v == "OTAD_EVENT=rebooted" {
					e.Code = 0
				}
			}
			p <- e
			return p, nil
		}})
	if err != nil {
		stop()
		return err
	}
	m.wake.Store(&i)
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.Run(ctx)
	}()
	defer func() { stop(); <-done }()
	for ctx.Err() == nil {
		in := m.journal.Record().Install
		switch fsm.InstallState(in.State) {
		case fsm.InstallSucceeded, fsm.InstallFailed, fsm.InstallRebooting:
			if in.Reboot != "" && in.State == string(fsm.InstallRebooting) && in.Reboot != "after the cut" {
				break // not looked at yet
			}
			if in.Attempt < h.Ran {
				return fmt.Errorf("at the end %d runs are counted after %d", in.Attempt, h.Ran)
			}
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the installation comes to no end: %+v", m.journal.Record().Install)
}

// before returns the journal's last transaction before the operation at an index.
func (l Log) before(at int) (first, last int) {
	begun, syncs := -1, 0
	for i, o := range l[:at] {
		switch {
		case o.is(Write, journalDB) && begun < 0:
			begun, syncs = i, 0
		case o.is(Datasync, journalDB):
			if syncs++; syncs == 2 {
				first, last, begun = begun, i, -1
			}
		}
	}
	return first, last
}

// HandOffMutations are of an otad that breaks a rule of the hand-off. l is the log
// of a run whose installer ended with 0.
func HandOffMutations() []Mutation {
	said := saidPrefix + "0-1"
	return []Mutation{
		{Bug: "starts the installer before the journal has counted it", Says: "the journal has counted 0", Apply: func(l Log, _ *Job) Log {
			at, served := l.find(0, Create, ranPrefix+"1", 1), l.find(0, Begin, "", 1)
			begun := l[at]
			return insert(l.without(func(i int, _ Op) bool { return i == at }), served+1, begun)
		}},
		{Bug: "records a success before it is said", Says: "success is recorded", Apply: func(l Log, _ *Job) Log {
			at := l.find(0, Create, said, 1)
			shown := l.shows(fsm.StageSucceeded)
			return l.move(at, shown-1)
		}},
		{Bug: "reports a success before it is recorded", Says: "success was reported", Apply: func(l Log, _ *Job) Log {
			at := l.shows(fsm.StageSucceeded)
			first, _ := l.before(at)
			say := l[at]
			return insert(l.without(func(i int, _ Op) bool { return i == at }), first, say)
		}},
	}
}

// shows returns the index of the report of a stage.
func (l Log) shows(stage fsm.Stage) int {
	is := reportsStage(stage)
	for i, o := range l {
		if is(o) {
			return i
		}
	}
	return -1
}

func insert(l Log, at int, o Op) Log { return append(append(append(Log{}, l[:at]...), o), l[at:]...) }
