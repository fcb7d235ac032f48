package init_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// board is a root of its own for a copy of S90otad.
type board struct{ dir, script string }

// newBoard starts otad by the script. BOARD stands for the board's directory.
func newBoard(t *testing.T, conf, fstab string) board {
	t.Helper()
	if _, err := exec.LookPath("start-stop-daemon"); err != nil {
		t.Skip(err)
	}
	b := board{dir: t.TempDir()}
	b.script = filepath.Join(b.dir, "S90otad")
	script, err := os.ReadFile("S90otad")
	if err != nil {
		t.Fatal(err)
	}
	text := string(script)
	for name, path := range map[string]string{"DAEMON": "otad", "CONFIG": "otad.conf", "PIDFILE": "otad.pid", "LOGPIPE": "otad.log", "FSTAB": "fstab"} {
		text = regexp.MustCompile(`(?m)^`+name+`=.*$`).ReplaceAllString(text, name+"=BOARD/"+path)
	}
	text = strings.ReplaceAll(text, "command -v logger", "false") // the test writes to no system log
	// An otad that shows that it was started.
	daemon := "#!/bin/sh\n[ \"$1\" = serve ] || exit 0\necho \"$@\" >BOARD/started\nexec sleep 60\n"
	for name, content := range map[string]string{"S90otad": text, "otad": daemon, "otad.conf": conf, "fstab": fstab} {
		content = strings.ReplaceAll(content, "BOARD", b.dir)
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(action string) {
		if out, err := exec.Command(b.script, action).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", action, err, out)
		}
	}
	run("start")
	t.Cleanup(func() { run("stop") })
	return b
}

// started reports whether otad is started within the time.
func (b board) started(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(b.dir, "started")); err == nil {
			return true
		}
	}
	return false
}

func TestBusyBoxScriptWaitsForTheStateDirectory(t *testing.T) {
	t.Parallel()
	b := newBoard(t, "# a comment\nstate-dir   BOARD/data/otad \n",
		"# /dev/x BOARD/data ext4 defaults 0 2\n/dev/root / ext4 defaults 0 1\n/dev/y BOARD/data ext4 noauto 0 0\n")
	if b.started(1500 * time.Millisecond) {
		t.Error("otad was started without its state directory")
	}
	if err := os.MkdirAll(filepath.Join(b.dir, "data/otad"), 0o700); err != nil {
		t.Fatal(err)
	}
	if !b.started(10 * time.Second) {
		t.Error("otad was not started")
	}
}

func TestBusyBoxScriptWaitsForTheMount(t *testing.T) {
	t.Parallel()
	b := newBoard(t, "state-dir BOARD\n", "/dev/root / ext4 defaults 0 1\n/dev/x BOARD ext4 defaults 0 2\n")
	if b.started(1500 * time.Millisecond) {
		t.Error("otad was started on the empty mount point")
	}
}

func TestBusyBoxScriptStartsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBoard(t, "state-dir BOARD\n", "proc /proc proc defaults 0 0\n/dev/root / ext4 defaults 0 1\n")
	if !b.started(10 * time.Second) {
		t.Error("otad was not started")
	}
}
