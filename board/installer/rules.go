package installer

import (
	"errors"
	"fmt"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/metrics"
)

// What the journal says after each event of an installation. The functions here
// are the whole contract but for the processes; README.md has it as a table.

// The exit codes of the command that have a meaning. 75 is EX_TEMPFAIL of
// sysexits.h(3head).
const (
	exitReboot = 10
	exitLater  = 75
)

const (
	firstLater, longestLater = time.Minute, time.Hour // waits double from the first to the longest

	// maxUnknown is how many runs in a row may be ended by a signal or by the
	// time limit, and are tried again.
	maxUnknown = 3
	// maxCut is how many runs in a row may lose otad or the board, and are tried
	// again: a command that crashes the board must not do so for ever.
	maxCut = 10
)

// begun notes that the command is about to be started.
func begun(in *journal.Install, boot string) {
	if fsm.InstallState(in.State) == fsm.InstallRunning {
		in.Cut++ // of the last run nobody knows how it ended
	}
	in.State, in.Boot = string(fsm.InstallRunning), boot
	in.Attempt++
	in.PID, in.Started, in.Exit, in.Line, in.Wait = 0, 0, 0, "", 0
}

// isGivenUp reports whether so many runs were cut that the next one is not begun.
func isGivenUp(in journal.Install) bool {
	return fsm.InstallState(in.State) == fsm.InstallRunning && in.Cut >= maxCut
}

// end is how a run ended.
type end struct {
	Exit
	limit   time.Duration // otad ended it at this time limit; 0: it did not
	stopped bool          // otad ended it because it stops itself
	refused error         // it cannot be started
}

// over notes that a run has ended. boot is the boot in which it did.
func over(in *journal.Install, e end, boot string) metrics.InstallResult {
	in.PID, in.Started, in.Cut = 0, 0, 0
	in.Exit, in.Line = e.Code, e.Line
	rebooted := in.Reboot != ""
	switch {
	case e.stopped:
		in.State, in.Wait = string(fsm.InstallWaiting), 0
		return metrics.InstallInterrupted
	case e.limit > 0:
		return unknown(in, fmt.Sprintf("not done within %v", e.limit))
	case e.refused != nil && isPermanent(e.refused):
		return failed(in, "cannot be started: "+e.refused.Error())
	case e.refused != nil:
		return unknown(in, "cannot be started: "+e.refused.Error())
	case e.Code < 0:
		return unknown(in, "ended by a signal: "+e.Signal)
	case e.Code == 0:
		in.State, in.Unknown, in.Step = string(fsm.InstallSucceeded), 0, 0
		return metrics.InstallSucceeded
	case e.Code == exitLater:
		in.Unknown = 0
		later(in)
		return metrics.InstallLater
	case e.Code == exitReboot && !rebooted:
		in.State, in.Reboot, in.Unknown, in.Step = string(fsm.InstallRebooting), boot, 0, 0
		return metrics.InstallReboot
	case rebooted:
		return failed(in, withLine(fmt.Sprintf("rolled back: exit %d", e.Code), e.Line))
	default:
		return failed(in, withLine(fmt.Sprintf("exit %d", e.Code), e.Line))
	}
}

// unknown notes a run of which nobody knows what it has done.
func unknown(in *journal.Install, how string) metrics.InstallResult {
	if in.Unknown++; in.Unknown > maxUnknown {
		failed(in, withLine(how, in.Line))
		return metrics.InstallFailed
	}
	later(in)
	return metrics.InstallInterrupted
}

// later notes that the command is run again after the next wait.
func later(in *journal.Install) {
	d := min(firstLater<<min(in.Step, 10), longestLater)
	in.State, in.Wait = string(fsm.InstallWaiting), int64(d/time.Second)
	in.Step++
}

func failed(in *journal.Install, detail string) metrics.InstallResult {
	giveUp(in, fsm.InstallFailedCode, detail)
	return metrics.InstallFailed
}

// giveUp notes that the installation failed for good.
func giveUp(in *journal.Install, code fsm.Code, detail string) {
	in.State, in.PID, in.Started = string(fsm.InstallFailed), 0, 0
	in.Code, in.Error = string(code), string(code)+": "+detail
}

func withLine(text, line string) string {
	if line == "" {
		return text
	}
	return text + ": " + line
}

// errInstalled is the answer to a request for what is installed already: it
// changes nothing, and is no error.
var errInstalled = errors.New("installed already")

// request notes that the package is to be installed now.
func request(in *journal.Install, intact, expired bool) error {
	switch fsm.InstallState(in.State) {
	case fsm.InstallRunning, fsm.InstallRebooting:
		return fsm.ErrInstalling
	case fsm.InstallSucceeded:
		return errInstalled
	case fsm.InstallFailed:
		in.Reboot = "" // rolled back: from the beginning
	}
	switch {
	case in.Reboot != "": // the command only looks what the reboot has brought
	case !intact:
		return fsm.ErrNoPackage
	case expired:
		return fsm.ErrExpired
	}
	in.State, in.Wait, in.Step, in.Unknown, in.Cut = string(fsm.InstallWaiting), 0, 0, 0, 0
	in.Error, in.Code = "", ""
	return nil
}
