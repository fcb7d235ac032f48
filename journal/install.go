package journal

// Install is what the installer command has done with the package that is Ready.
// Package fsm stores it, package board/installer has the rules. It belongs to the
// record's job: another job, a reset and a failure clear it. An older otad forgets
// it.
type Install struct {
	State   string `json:"state,omitempty"`   // see fsm.InstallState; empty: the command was never started
	Attempt int    `json:"attempt,omitempty"` // runs of the command for this package, one under way included
	Boot    string `json:"boot,omitempty"`    // boot ID of the last run
	PID     int    `json:"pid,omitempty"`     // of the run under way; 0: none, or not known
	Started uint64 `json:"started,omitempty"` // start time of PID in clock ticks since boot, field 22 of proc_pid_stat(5)
	Reboot  string `json:"reboot,omitempty"`  // boot ID in which the command said that a reboot is needed; empty: it has not
	Exit    int    `json:"exit,omitempty"`    // exit code of the last run; -1: it had none
	Line    string `json:"line,omitempty"`    // last line that the last run printed
	Unknown int    `json:"unknown,omitempty"` // runs in a row that a signal or the time limit ended
	Cut     int    `json:"cut,omitempty"`     // runs in a row during which otad or the board ended
	Step    int    `json:"step,omitempty"`    // waits in a row, each twice the one before
	Wait    int64  `json:"wait,omitempty"`    // seconds of the present wait
	Error   string `json:"error,omitempty"`   // text of the failure, empty unless failed
	Code    string `json:"code,omitempty"`    // its code

	// How long the package has been Ready, counted while otad runs and the board
	// is on: Age seconds up to the moment Aged of the boot AgedBoot.
	Age      int64  `json:"age,omitempty"`
	AgedBoot string `json:"aged_boot,omitempty"` // boot ID; empty: nothing was counted
	Aged     int64  `json:"aged,omitempty"`      // seconds of CLOCK_BOOTTIME, clock_gettime(2)
}

// bounded returns i cut to the bounds of a record.
func (i Install) bounded() Install {
	for _, text := range []*string{&i.State, &i.Boot, &i.Reboot, &i.AgedBoot, &i.Line, &i.Error, &i.Code} {
		*text = boundedText(*text, MaxText)
	}
	i.PID, i.Attempt, i.Unknown, i.Cut, i.Step = max(0, i.PID), max(0, i.Attempt), max(0, i.Unknown), max(0, i.Cut), max(0, i.Step)
	i.Wait, i.Age, i.Aged = max(0, i.Wait), max(0, i.Age), max(0, i.Aged)
	return i
}
