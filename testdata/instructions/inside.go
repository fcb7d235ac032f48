package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// measurement is the cost of one program, or of one part of otad. A nanosecond
// is an instruction.
type measurement struct {
	Name    string
	Process time.Duration // user and system time of the process
	Board   time.Duration // all that was not idle until every byte was on the disk, with the kernel's own threads and interrupts
}

// The programs that are compared.
const (
	nameOtad  = "otad fetch"
	nameShort = "otad fetch of 1 MiB"
	nameWget  = "wget -O f"
	nameHash  = "md5sum f"
)

// work is the folder of all files, on the disk.
const work = "/var/lib/work"

// inside runs the plan in the guest, and prints the costs.
func inside(planFile string) {
	if err := runPlan(planFile); err != nil {
		fmt.Printf("rig: error %v\n", err)
	} else {
		fmt.Println("rig: done")
	}
	time.Sleep(time.Hour) // the rig switches the board off
}

func runPlan(planFile string) error {
	content, err := os.ReadFile(planFile)
	if err != nil {
		return err
	}
	var p plan
	if err := json.Unmarshal(content, &p); err != nil {
		return err
	}
	for range p.Rounds {
		for _, step := range append(programs(p), parts(p)...) {
			if err := step.measure(); err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
		}
	}
	return nil
}

// step is something to be measured.
type step struct {
	name string
	// do returns the user and system time of the step.
	do func() (time.Duration, error)
	// keep leaves the files of the step before where they are.
	keep bool
}

func (s step) measure() error {
	if !s.keep {
		if err := fresh(work); err != nil {
			return err
		}
	}
	unix.Sync() // writes of an earlier step do not count in this one
	before, err := busy()
	if err != nil {
		return err
	}
	m := measurement{Name: s.name}
	if m.Process, err = s.do(); err != nil {
		return err
	}
	unix.Sync()
	after, err := busy()
	if err != nil {
		return err
	}
	m.Board = after - before
	line, err := json.Marshal(m)
	fmt.Printf("rig: %s\n", line)
	return err
}

func programs(p plan) []step {
	file := filepath.Join(work, "f")
	fetch := func(p pkg) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			return run("", "otad", "fetch", "-quiet", "-allow-http", "-state-dir", work, "-checkpoint", strconv.Itoa(checkpoint),
				"-md5", p.MD5, "-size", strconv.FormatInt(p.Size, 10), p.URL)
		}
	}
	return []step{
		{name: nameOtad, do: fetch(p.Whole)},
		{name: nameShort, do: fetch(p.Short)},
		{name: nameWget, do: func() (time.Duration, error) { return run("", "wget", "-q", "-O", file, p.Whole.URL) }},
		{name: nameHash, do: func() (time.Duration, error) { return run(p.Whole.MD5, "md5sum", file) }, keep: true},
	}
}

// fresh makes an empty folder.
func fresh(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o755)
}

// run runs a program whose output must contain wanted, and returns its time.
func run(wanted, name string, args ...string) (time.Duration, error) {
	cmd := exec.Command(name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	if !bytes.Contains(out, []byte(wanted)) {
		return 0, fmt.Errorf("%s instead of %s", out, wanted)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// busy returns the time that the processor has not been idle.
func busy() (time.Duration, error) {
	// /proc/stat has the same in hundredths of a second.
	text, err := os.ReadFile("/proc/timer_list")
	if err != nil {
		return 0, err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, err
	}
	awake := time.Duration(now.Nano())
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case ".idle_sleeptime", ".iowait_sleeptime":
			n, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				return 0, err
			}
			awake -= time.Duration(n)
		}
	}
	return awake, nil
}
