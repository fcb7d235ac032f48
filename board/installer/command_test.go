package installer

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"otad/fsm"
	"otad/journal"
)

// script writes a shell script and returns its path.
func script(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "install")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// started starts a script, whose group is ended with the test.
func started(t *testing.T, text string, environment ...string) (p Process, said *[]string) {
	t.Helper()
	dir := t.TempDir()
	said = new([]string)
	p, err := command{[]string{script(t, dir, text), "first", "second"}, dir}.start(environment, func(line string) { *said = append(*said, line) })
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := p.ID()
	t.Cleanup(func() { syscall.Kill(-pid, syscall.SIGKILL) })
	return p, said
}

// ended waits for the end of a run.
func ended(t *testing.T, p Process) Exit {
	t.Helper()
	select {
	case e := <-p.Ended():
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("the command does not end")
		return Exit{}
	}
}

func TestExitOfARealCommand(t *testing.T) {
	for text, want := range map[string]Exit{
		"exit 0":                        {},
		"exit 10":                       {Code: 10},
		"echo a; echo b >&2; exit 75":   {Code: 75, Line: "b"},
		"printf 'no line feed'; exit 1": {Code: 1, Line: "no line feed"},
		"kill -TERM $$":                 {Code: -1, Signal: "terminated"},
		"echo x; kill -KILL $$":         {Code: -1, Signal: "killed", Line: "x"},
		"/no/such/program":              {Code: 127, Line: "*"},
		"exec /dev/null":                {Code: 126, Line: "*"},
	} {
		p, _ := started(t, text)
		got := ended(t, p)
		if want.Line == "*" {
			got.Line, want.Line = "", ""
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestWhatACommandIsGiven(t *testing.T) {
	t.Setenv("SECRET", "s")
	t.Setenv("TZ", "Asia/Shanghai")
	h := fsm.Handover{ID: 3, Job: journal.Job{Name: "u.zip", Version: "1.2.3", Size: 9}, Install: journal.Install{Attempt: 2}}
	p, said := started(t, `pwd
echo "$# $1 $2"
cat
env | sed 's/=.*//' | sort | grep -v -x -e PWD -e _ -e SHLVL -e OLDPWD | tr '\n' ' '
echo
cut -d' ' -f5 /proc/$$/stat
echo $$`, environment("/state", h)...)
	if e := ended(t, p); e.Code != 0 || len(*said) != 5 {
		t.Fatalf("%+v, %q", e, *said)
	}
	pid, begun := p.ID()
	names := "OTAD_ATTEMPT OTAD_EVENT OTAD_JOB OTAD_MD5 OTAD_NAME OTAD_PACKAGE OTAD_SHA256 OTAD_SIGNED_BY OTAD_SIZE OTAD_VERSION PATH TZ"
	if os.Getenv("LANG") != "" {
		names = "LANG " + names
	}
	if got := (*said)[2]; got != names {
		t.Errorf("the variables are %s, want %s", got, names)
	}
	if (*said)[1] != "2 first second" || (*said)[3] != strconv.Itoa(pid) || (*said)[4] != strconv.Itoa(pid) || begun == 0 {
		t.Errorf("arguments, group and process %q, want those of %d (started %d)", (*said)[1:], pid, begun)
	}
	if info, err := os.Stat((*said)[0]); err != nil || !info.IsDir() {
		t.Errorf("it runs in %s", (*said)[0])
	}
}

func TestEndReachesTheWholeGroup(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	p, _ := started(t, fmt.Sprintf("trap 'echo got TERM; exit 0' TERM\nsleep 1000 &\necho $! > %s\nwait", marker))
	child := await(t, marker)
	p.End()
	if e := ended(t, p); e.Line != "got TERM" {
		t.Errorf("%+v", e)
	}
	if alive(child) {
		t.Error("what the command has started is still there")
	}
}

// What a command leaves running may hold its output open, and does not hold otad.
func TestChildThatIsLeftBehindHoldsNobody(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	begun := time.Now()
	p, _ := started(t, fmt.Sprintf("echo installed\nsleep 1000 &\necho $! > %s\nexit 10", marker))
	if e := ended(t, p); e.Code != 10 || e.Line != "installed" {
		t.Errorf("%+v", e)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if child := await(t, marker); !alive(child) {
		t.Error("a command that ended by itself lost what it has left, as a reboot in five seconds")
	}
}

// await returns the number that somebody writes to a file.
func await(t *testing.T, path string) int {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil && strings.HasSuffix(string(text), "\n") {
			n, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("nobody writes %s", path)
	return 0
}

func alive(pid int) bool {
	p, ok := readProcess(pid)
	return ok && !p.isDead()
}

// A survivor is known by its number and start time, or by its environment where
// otad was killed before it wrote these.
func TestSurvivorsAreEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(h *fsm.Handover)
		ended  bool
	}{
		"known":                       {func(*fsm.Handover) {}, true},
		"its number was not written":  {func(h *fsm.Handover) { h.Install.PID, h.Install.Started = 0, 0 }, true},
		"another boot":                {func(h *fsm.Handover) { h.Install.Boot = "earlier" }, false},
		"a number that is used again": {func(h *fsm.Handover) { h.Install.Started++; h.ID = 99 }, false},
		"another run":                 {func(h *fsm.Handover) { h.Install.PID, h.Install.Attempt = 0, 1 }, false},
		"another state directory":     {func(h *fsm.Handover) { h.Install.PID, h.Job.Name = 0, "other.zip" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := fsm.Handover{ID: 3, Job: journal.Job{Name: "u.zip"}, Install: journal.Install{Attempt: 2, Boot: "now"}}
			p, _ := started(t, "sleep 1000 & wait", environment("/state", h)...)
			h.Install.PID, h.Install.Started = p.ID()
			awaitCommand(t, h.Install.PID)
			pid := h.Install.PID
			tt.change(&h)
			i := &Installer{boot: "now", cfg: Config{Dir: "/state", Log: slog.New(slog.NewTextHandler(t.Output(), nil))}}
			if !i.endSurvivors(h) {
				t.Error("something is left")
			}
			group := slices.ContainsFunc(processes(), func(p proc) bool { return p.group == pid })
			if group == tt.ended {
				t.Errorf("the group is there: %v", group)
			}
		})
	}
}

// awaitCommand waits until a process has become the script.
func awaitCommand(t *testing.T, pid int) {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(text), "install") {
			return
		}
	}
	t.Fatal("the command does not begin")
}

// The command of a survivor has ended, and what it has started writes on.
func TestOrphansOfARunAreEnded(t *testing.T) {
	h := fsm.Handover{ID: 3, Job: journal.Job{Name: "u.zip"}, Install: journal.Install{Attempt: 2, Boot: "now"}}
	p, _ := started(t, "sleep 1000 >/dev/null 2>&1 &\nexit 0", environment("/state", h)...)
	h.Install.PID, h.Install.Started = p.ID()
	ended(t, p)
	inGroup := func(p proc) bool { return p.group == h.Install.PID }
	if !slices.ContainsFunc(processes(), inGroup) {
		t.Fatal("there is no orphan: nothing is tested here")
	}
	i := &Installer{boot: "now", cfg: Config{Dir: "/state", Log: slog.New(slog.NewTextHandler(t.Output(), nil))}}
	if !i.endSurvivors(h) {
		t.Error("something is left")
	}
	if slices.ContainsFunc(processes(), inGroup) {
		t.Error("it is still there")
	}
}

func TestStatOfAProcessWithAnyName(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a) Z 1 (b")
	if err := os.Symlink("/bin/sleep", name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "1000")
	if err := cmd.Start(); err != nil {
		t.Skipf("sleep of this system is not to be renamed: %v", err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	p, ok := readProcess(cmd.Process.Pid)
	if !ok || p.group != syscall.Getpgrp() || p.isDead() || p.started == 0 {
		t.Errorf("read %+v, %v", p, ok)
	}
	if _, ok := readProcess(1 << 30); ok {
		t.Error("a process that is not there was read")
	}
}

func TestKernelBoot(t *testing.T) {
	a, err := kernelBoot()
	if err != nil {
		t.Fatal(err)
	}
	b, err := kernelBoot()
	if err != nil || a.ID != b.ID || len(a.ID) != 36 || a.Up <= 0 || b.Up < a.Up {
		t.Errorf("%+v, %+v, %v", a, b, err)
	}
}
