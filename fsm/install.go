package fsm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"otad/journal"
	"otad/metrics"
)

// What an installer does with a package that is Ready is a record of its own
// beside the machine, which stays in Ready meanwhile: see [Updater.SetInstall].

// InstallState is where the installation of a package that is Ready stands. The
// journal holds it as its text.
type InstallState string

// The states of an installation. The zero value means that none was begun.
const (
	InstallRunning   InstallState = "running"   // the command was started, or is about to be
	InstallWaiting   InstallState = "waiting"   // it is to be started, now or after a wait
	InstallRebooting InstallState = "rebooting" // installed; takes effect after a reboot
	InstallSucceeded InstallState = "success"   // installed and running
	InstallFailed    InstallState = "failed"    // for good, until it is asked for again
)

// Stage is an installation as others see it.
type Stage string

// The stages of an installation. The zero value means that none was begun.
const (
	StageInstalling Stage = "installing" // also between two runs of the command
	StageRebooting  Stage = "rebooting"  // until the command has said what became of it
	StageSucceeded  Stage = "success"
	StageFailed     Stage = "failed"
)

// InstallFailedCode is the code of an installation that failed.
const InstallFailedCode Code = "INSTALL_FAILED"

// PackageExpired is the code of a package that has been Ready for too long to be
// installed.
const PackageExpired Code = "PACKAGE_EXPIRED"

// The errors of a request to install.
var (
	ErrNotReady   = errors.New("the package is not Ready")                   // it is being fetched, or failed
	ErrNoPackage  = errors.New("there is no such package")                   // no job has that version, or its file is gone
	ErrInstalling = errors.New("a package is being installed")               // the command runs, or waits for a reboot
	ErrExpired    = errors.New("the package has been Ready for too long")    // see [PackageExpired]
	errReplaced   = fmt.Errorf("%w any more: another job came", ErrNotReady) // since the caller looked
)

// Handover is the package that is Ready, and what its installer has done.
type Handover struct {
	Job      journal.Job
	ID       uint64 // of this download of the package: another one has another
	Install  journal.Install
	SignedBy string // number of the key, as minisign prints it; empty: no signature is asked for
	Intact   bool   // the file is there, and is the one that was verified
	Proving  bool   // it is being digested again: nothing is to be begun with it
}

// InstallReport is what a change of an installation means to those who watch it.
type InstallReport struct {
	Result metrics.InstallResult // of a run that has ended; empty: none has
	Took   time.Duration         // how long that run took; 0: not known
	Next   time.Duration         // until the next run; 0: not known
}

// Handover returns the package that the journal calls Ready, false where there is
// none. Any goroutine may call it.
func (u *Updater) Handover() (Handover, bool) {
	proving := u.report.snapshot().State != Ready // first: what is Ready in the journal is shown later
	rec := u.journal.record()
	if State(rec.State) != Ready {
		return Handover{}, false
	}
	h := Handover{Job: rec.Job, ID: rec.Generation, Install: rec.Install, Intact: isProved(u.dir, rec), Proving: proving}
	if u.judge.required() {
		h.SignedBy = rec.Signed.Key
	}
	return h, true
}

// isInstalling reports whether the installer works with the record's package.
func (u *Updater) isInstalling(rec journal.Record) bool {
	return u.cfg.HandOff && State(rec.State) == Ready && InstallState(rec.Install.State) == InstallRunning
}

// SetInstall changes what the journal says of the installation of the package
// with that ID. The change, and the outbox's entry of a new stage, are durable
// before anybody sees them. change gets what is recorded now, and its error ends
// SetInstall. Other errors: [ErrNotReady] when that package is not the one that the
// journal calls Ready, the journal's, or ctx's. A package that is being digested
// again still is that one: an installer may be at work with it.
//
// SetInstall runs in Run's goroutine, and may be called from any one. When Run has
// ended, it runs in the caller's, and there may be one: the installer's, which
// outlives Run while its command does.
func (u *Updater) SetInstall(ctx context.Context, id uint64, change func(*journal.Install) error, say InstallReport) error {
	do := func(context.Context) error { return u.setInstall(id, change, say) }
	c := command{do: do, reply: make(chan error, 1)}
	select {
	case u.commands <- c:
		return <-c.reply
	case <-u.over:
		return do(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *Updater) setInstall(id uint64, change func(*journal.Install) error, say InstallReport) error {
	before := u.journal.record()
	if State(before.State) != Ready || before.Generation != id {
		return errReplaced
	}
	next := before.Install
	if err := change(&next); err != nil {
		return err
	}
	rec, err := u.journal.update(func(r *journal.Record) {
		r.Install = next
		stage := stageOf(next)
		if !u.cfg.KeepOutbox || stage == stageOf(before.Install) {
			return
		}
		s := recorded(*r, nil, false)
		r.OutboxSeq++
		addToOutbox(r, journal.OutboxEntry{Seq: r.OutboxSeq, State: r.State, Install: string(stage),
			Progress: s.Progress, Message: s.Message, Error: s.Error, Code: string(s.Code)})
	})
	if err != nil {
		return err
	}
	if from, to := stageOf(before.Install), stageOf(next); from != to {
		u.log.Info("installation", "from", string(from), "to", string(to), "name", rec.Job.Name, "version", rec.Job.Version,
			"attempt", next.Attempt)
	}
	u.report.installation(rec, u.journal.checkpoints(), say)
	return nil
}

// stageOf returns the stage of an installation. A state that this build does not
// have was written by a newer otad, and counts as one of the runs.
func stageOf(i journal.Install) Stage {
	switch InstallState(i.State) {
	case "":
		return ""
	case InstallSucceeded:
		return StageSucceeded
	case InstallFailed:
		return StageFailed
	}
	if i.Reboot != "" {
		return StageRebooting
	}
	return StageInstalling
}

// withInstall returns s, of a package that is Ready, with what its installer has
// done.
func (s Snapshot) withInstall(i journal.Install) Snapshot {
	s.Stage = stageOf(i)
	if s.Stage == "" {
		return s
	}
	s.Message = installMessage(i)
	if s.Stage == StageFailed {
		s.Error, s.Code = i.Error, Code(i.Code)
	}
	return s
}

// installMessage returns what a person reads of an installation.
func installMessage(i journal.Install) string {
	waits := ""
	if InstallState(i.State) == InstallWaiting {
		waits = ", waiting for the next try"
	}
	switch stageOf(i) {
	case StageSucceeded:
		return "Installed"
	case StageFailed:
		return "Installation failed"
	case StageRebooting:
		if InstallState(i.State) == InstallRebooting {
			return "Installed, waiting for a reboot"
		}
		return "Rebooted, the installer looks whether it worked" + waits
	}
	if i.Attempt > 1 {
		return fmt.Sprintf("Installing, run %d%s", i.Attempt, waits)
	}
	return "Installing" + waits
}

// installation reports a change that the journal holds. While the package is
// digested again, that is shown, and the installation when it is done.
func (r *reporter) installation(rec journal.Record, checkpoints []journal.Checkpoint, say InstallReport) {
	if say.Result != "" {
		r.metrics.Installed(say.Result, say.Took)
	}
	next := recorded(rec, checkpoints, r.readback)
	proved := false
	r.change(func(s *Snapshot) {
		if proved = s.State == Ready; !proved {
			return
		}
		s.Stage, s.Message, s.Error, s.Code = next.Stage, next.Message, next.Error, next.Code
		r.next = time.Time{}
		if say.Next > 0 {
			r.next = time.Now().Add(say.Next)
		}
	})
	if proved {
		r.onChange(r.snapshot())
	}
}
