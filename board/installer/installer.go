// Package installer hands a package that is Ready over to a command that installs
// it, and keeps a durable record of what the command has done. README.md in this
// folder is the contract with the author of such a command.
//
// Its invariant: the journal says that the command was started before it is, and
// that it succeeded only after it has said so. So the command runs at least once.
// Exactly once cannot be had: between the moment at which a command has changed the
// board and the moment at which the journal says so, the power may go, and no
// order of the two closes that gap, because the board's slots and otad's journal
// have no transaction in common. Of the two ways to be wrong, running a command
// twice is the one that a command can be made safe against.
package installer

import (
	"context"
	"errors"
	"log/slog"

	"time"

	"otad/fsm"
	"otad/journal"
)

// Updater is the part of *fsm.Updater that the installer works with.
type Updater interface {
	Handover() (fsm.Handover, bool)
	SetInstall(ctx context.Context, id uint64, change func(*journal.Install) error, say fsm.InstallReport) error
	Snapshot() fsm.Snapshot
}

// Config configures New. All but the last two are required.
type Config struct {
	Updater   Updater
	Command   []string      // its words; the first is an absolute path
	Dir       string        // absolute path of the state directory, where the command runs
	Timeout   time.Duration // longest run of the command
	Grace     time.Duration // how long a stop of otad waits for the command
	MaxAge    time.Duration // a package that has been Ready for longer is not installed; 0: no limit
	OnRequest bool          // it is installed when [Installer.Install] is called, and not at once
	Log       *slog.Logger

	Start func(environment []string, say func(line string)) (Process, error) // nil: of Command
	Boot  func() (Boot, error)                                               // nil: of the kernel
}

// Boot is a moment of a boot of the board.
type Boot struct {
	ID string        // of the boot
	Up time.Duration // since it began, suspended or not: CLOCK_BOOTTIME of clock_gettime(2)
}

// Process is a run of the command.
type Process interface {
	// ID returns the process's number and its start time, field 22 of
	// proc_pid_stat(5).
	ID() (pid int, started uint64)
	// Ended returns a channel that gets how the process ended.
	Ended() <-chan Exit
	// End ends the process and its group, and returns when they have ended.
	End()
}

// Exit is how a run of the command ended.
type Exit struct {
	Code   int    // -1: a signal ended it
	Signal string // name of that signal
	Line   string // last line that it printed, printable, without secrets of URLs
}

// Installer runs the command. Install and Wake may be called from any goroutine,
// Run from one.
type Installer struct {
	cfg  Config
	boot string        // ID of the present one
	wake chan struct{} // holds a token when the package may have changed

	// Owned by Run's goroutine.
	due     wait   // of the next run
	missing uint64 // ID of the package whose missing file is in the log
}

// wait is the end of a wait between two runs.
type wait struct {
	id      uint64 // of the package
	attempt int    // after which it is waited
	until   time.Time
}

// New returns an Installer. Its error is that of the kernel's boot ID, without
// which a reboot cannot be seen.
func New(c Config) (*Installer, error) {
	if c.Start == nil {
		c.Start = command{c.Command, c.Dir}.start
	}
	if c.Boot == nil {
		c.Boot = kernelBoot
	}
	now, err := c.Boot()
	if err != nil {
		return nil, err
	}
	return &Installer{cfg: c, boot: now.ID, wake: make(chan struct{}, 1)}, nil
}

// Wake makes Run look at the package again. Call it after each change of the
// machine. It never blocks.
func (i *Installer) Wake(fsm.Snapshot) {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// Install makes the package of that version be installed, when the journal holds
// that. One that is installed already is not installed again, one whose
// installation failed is. Errors: fsm.ErrNotReady, fsm.ErrNoPackage,
// fsm.ErrInstalling, fsm.ErrExpired, the journal's, or ctx's.
func (i *Installer) Install(ctx context.Context, version string) error {
	h, ready := i.cfg.Updater.Handover()
	if !ready {
		if s := i.cfg.Updater.Snapshot(); s.State != fsm.Idle && s.Version == version {
			return fsm.ErrNotReady
		}
		return fsm.ErrNoPackage
	}
	switch {
	case h.Job.Version != version:
		return fsm.ErrNoPackage
	case h.Proving:
		return fsm.ErrNotReady
	}
	now, err := i.cfg.Boot()
	if err != nil {
		return err
	}
	err = i.cfg.Updater.SetInstall(ctx, h.ID, func(in *journal.Install) error {
		return request(in, h.Intact, i.expired(*in, now))
	}, fsm.InstallReport{})
	if errors.Is(err, errInstalled) {
		return nil
	}
	i.Wake(fsm.Snapshot{})
	return err
}

// never is a wait that only Wake ends.
const never time.Duration = -1

// Run hands over every package that becomes Ready, until ctx ends. It then waits
// for the command for as long as Config.Grace, and ends it. Its error is nil.
func (i *Installer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		var again <-chan time.Time
		if wait := i.turn(ctx); wait >= 0 {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-i.wake:
		case <-again:
		}
	}
	return nil
}

// turn runs the command if it is due, and returns how long it is until the next
// turn.
func (i *Installer) turn(ctx context.Context) time.Duration {
	h, ready := i.cfg.Updater.Handover()
	if !ready || h.Proving {
		return never
	}
	switch fsm.InstallState(h.Install.State) {
	case fsm.InstallSucceeded, fsm.InstallFailed:
		return never
	case fsm.InstallRebooting:
		if h.Install.Reboot == i.boot {
			return never
		}
	case fsm.InstallWaiting:
		if left := i.left(h); left > 0 {
			return left
		}
	case fsm.InstallRunning: // under a process that has ended
		if !i.endSurvivors(h) {
			return journalRetry
		}
	case "":
		if i.cfg.OnRequest {
			return i.age(ctx, h)
		}
	}
	return i.run(ctx, h)
}

// firstWait bounds the first wait of a process: a restart may have been what the
// command has waited for.
const firstWait = time.Minute

// left returns how much is left of the wait for the next run. After a start of
// otad the wait begins anew.
func (i *Installer) left(h fsm.Handover) time.Duration {
	if h.Install.Wait == 0 {
		return 0
	}
	if i.due.id != h.ID || i.due.attempt != h.Install.Attempt {
		i.wait(h, min(time.Duration(h.Install.Wait)*time.Second, firstWait))
	}
	return time.Until(i.due.until)
}

func (i *Installer) wait(h fsm.Handover, d time.Duration) {
	i.due = wait{h.ID, h.Install.Attempt, time.Now().Add(d)}
}
