package installer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"otad/fsm"
	"otad/journal"
)

// The events that a command is run for.
const (
	eventReady    = "ready"    // the package is to be installed
	eventRebooted = "rebooted" // the board has booted after a run that ended with exitReboot
)

func event(in journal.Install) string {
	if in.Reboot != "" {
		return eventRebooted
	}
	return eventReady
}

// defaultPath is the command's PATH where otad has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment returns the whole environment of a run.
func environment(dir string, h fsm.Handover) []string {
	env := append(marks(dir, h),
		"OTAD_EVENT="+event(h.Install),
		"OTAD_NAME="+h.Job.Name,
		"OTAD_VERSION="+h.Job.Version,
		"OTAD_SIZE="+strconv.FormatInt(h.Job.Size, 10),
		"OTAD_MD5="+h.Job.MD5,
		"OTAD_SHA256="+h.Job.SHA256,
		"OTAD_SIGNED_BY="+h.SignedBy)
	for _, name := range []string{"PATH", "TZ", "LANG"} {
		value, set := os.LookupEnv(name)
		if name == "PATH" && value == "" {
			value, set = defaultPath, true
		}
		if set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// marks returns the variables that show of which run a process is.
func marks(dir string, h fsm.Handover) []string {
	return []string{
		packageVariable(dir, h),
		"OTAD_JOB=" + strconv.FormatUint(h.ID, 10),
		"OTAD_ATTEMPT=" + strconv.Itoa(h.Install.Attempt),
	}
}

// packageVariable returns where the package is: a file, or the device that it was
// written straight to.
func packageVariable(dir string, h fsm.Handover) string {
	if h.Job.Output != "" {
		return "OTAD_DEVICE=" + h.Job.Output
	}
	return "OTAD_PACKAGE=" + packagePath(dir, h)
}

// kernelBoot returns the present moment, of random(4) and clock_gettime(2).
func kernelBoot() (Boot, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Boot{}, fmt.Errorf("without the kernel's boot ID no package can be handed over: %w", err)
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return Boot{}, fmt.Errorf("CLOCK_BOOTTIME: %w", err)
	}
	return Boot{ID: strings.TrimSpace(string(id)), Up: time.Duration(up.Nano())}, nil
}
