package installer

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"otad/fsm"
)

// proc is a process, as proc_pid_stat(5) shows it.
type proc struct {
	pid, group int
	state      byte
	started    uint64 // field 22
}

// isDead reports whether only its parent has still to take note of it.
func (p proc) isDead() bool { return p.state == 'Z' || p.state == 'X' }

// readProcess returns the process of that number, false when there is none.
func readProcess(pid int) (proc, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name in parentheses, field 2, may hold anything.
	end := bytes.LastIndexByte(text, ')')
	if err != nil || end < 0 {
		return proc{}, false
	}
	fields := strings.Fields(string(text[end+1:])) // from field 3 on
	if len(fields) < 20 {
		return proc{}, false
	}
	group, errGroup := strconv.Atoi(fields[5-3])
	started, errStarted := strconv.ParseUint(fields[22-3], 10, 64)
	return proc{pid, group, fields[0][0], started}, errGroup == nil && errStarted == nil
}

// processes returns all that can be seen.
func processes() []proc {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var list []proc
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := readProcess(pid); ok && !p.isDead() {
				list = append(list, p)
			}
		}
	}
	return list
}

// hasEnvironment reports whether a process was started with all of those
// variables.
func hasEnvironment(pid int, variables []string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	all := strings.Split(string(text), "\x00")
	return !slices.ContainsFunc(variables, func(v string) bool { return !slices.Contains(all, v) })
}

// endSurvivors ends what is left of the run in the record, whose otad has ended
// without it: two runs at a time could write the same slot. Its processes are
// known by the number and the start time in the journal, and by the environment
// where otad was killed before it wrote these, or where the command itself has
// ended and what it started has not. It returns false if something is left that
// cannot be ended, such as a process that waits for a dead disk.
func (i *Installer) endSurvivors(h fsm.Handover) (ended bool) {
	in := h.Install
	if in.Boot != i.boot {
		return true
	}
	variables := marks(i.cfg.Dir, h)
	var groups []int
	for _, p := range processes() {
		isIt := in.PID > 0 && p.pid == in.PID && p.started == in.Started || hasEnvironment(p.pid, variables)
		// A command may have started this very otad.
		if isIt && p.group != syscall.Getpgrp() && !slices.Contains(groups, p.group) {
			groups = append(groups, p.group)
		}
	}
	for _, group := range groups {
		i.cfg.Log.Warn("an installer that an earlier otad has left is ended", "pid", group, "attempt", in.Attempt)
		if !endGroup(group) {
			i.cfg.Log.Error("it does not end, and the installer is not started again before", "pid", group)
			return false
		}
	}
	return true
}

// endGroup sends SIGTERM to a process group and, to what is left of it after
// endGrace, SIGKILL. It reports whether the group has ended, which it waits for.
func endGroup(group int) (ended bool) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(-group, signal); err != nil {
			return err == syscall.ESRCH
		}
		for late := time.Now().Add(endGrace); time.Now().Before(late); time.Sleep(20 * time.Millisecond) {
			if !slices.ContainsFunc(processes(), func(p proc) bool { return p.group == group }) {
				return true
			}
		}
	}
	return false
}
