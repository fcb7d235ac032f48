package init_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"otad/testdata/namespace"
)

// faster shortens the unit's waits, which are too long for a test.
var faster = strings.NewReplacer("\nRestartSec=10\n", "\nRestartSec=1\n", "\nWatchdogSec=300\n", "\nWatchdogSec=3\n")

// newSystemd starts a board with systemd and the unit otad.service, not enabled
// yet. conf is /etc/otad.conf.
func newSystemd(t *testing.T, conf string, units ...string) *board {
	t.Helper()
	t.Parallel()
	spec := namespace.Systemd(t)
	spec.Files["/etc/otad.conf"] = conf
	for _, name := range append(units, "otad.service") {
		spec.Files["/etc/systemd/system/"+name] = faster.Replace(initFile(t, name))
	}
	b := newBoard(t, spec)
	b.AwaitSystemd()
	return b
}

// property returns a property of a unit.
func (b *board) property(unit, name string) string {
	b.t.Helper()
	return b.Must("systemctl", "show", "-P", name, unit)
}

// mainPID returns the process of otad as the board counts it, "0" for none.
func (b *board) mainPID() string { return b.property("otad.service", "MainPID") }

// awaitAnother waits until otad runs as another process than the old one.
func (b *board) awaitAnother(old string) string {
	b.t.Helper()
	var pid string
	eventually(b.t, "otad runs again", func() bool {
		pid = b.mainPID()
		return pid != old && pid != "0" && b.property("otad.service", "ActiveState") == "active"
	})
	return pid
}

// journal returns what the journal holds of otad.
func (b *board) journal(args ...string) string {
	out, _ := b.Run(append([]string{"journalctl", "-u", "otad", "--no-pager", "-q", "-o", "cat"}, args...)...)
	return out
}

func TestSystemdRunsAnotherUser(t *testing.T) {
	b := newSystemd(t, "rate-limit 1MB\n")
	b.Must("systemctl", "enable", "--now", "otad")
	// "enable --now" has waited for READY=1, so it answers at once.
	if p := b.progress(); p.State != "Idle" {
		t.Errorf("started, and the state is %q", p.State)
	}
	pid := b.mainPID()
	status := b.Read("/proc/" + pid + "/status")
	for _, want := range []string{"Uid:\t990\t990\t990\t990", "Gid:\t990\t990\t990\t990", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Umask:\t0077"} {
		if !strings.Contains(status, want) {
			t.Errorf("otad runs without %q:\n%s", want, status)
		}
	}
	b.WantStat(stateIn, "990:990 0711")
	b.WantStat(stateIn+"/journal.db", "990:990 0600")

	job := b.origin(3 << 20)
	b.post(job)
	eventually(t, "some of the package is stored", func() bool { return b.progress().Durable >= 1<<20 })
	if got := b.property("otad.service", "StatusText"); !strings.HasPrefix(got, "u.bin ") {
		t.Errorf("Status: %q", got)
	}
	// It is killed in the middle, started again, and goes on.
	b.Must("kill", "-KILL", pid)
	pid = b.awaitAnother(pid)
	b.awaitState("Ready")
	b.wantPackage(job)
	if out, code := b.Run("setpriv", "--reuid=1001", "--regid=1001", "--clear-groups", "md5sum", stateIn+"/u.bin"); code != 0 {
		t.Errorf("another user cannot read the package: %s", out)
	}

	// A reload keeps the process.
	b.Write("/etc/otad.conf", "log-level debug\n", 0o644)
	b.Must("systemctl", "reload", "otad")
	eventually(t, "otad has read its configuration again", func() bool { return strings.Contains(b.journal(), "msg=reloaded") })
	if now := b.mainPID(); now != pid {
		t.Errorf("process %s is %s after a reload", pid, now)
	}

	// A failed job is an error for journalctl.
	missing := job
	missing.URL, missing.Version = strings.Replace(job.URL, "u.bin", "missing", 1), "1.2.4"
	b.post(missing)
	b.awaitState("Failed")
	eventually(t, "journalctl -p err shows the failed job", func() bool {
		out := b.journal("-p", "err")
		return strings.Contains(out, "404") && !strings.Contains(out, "level=INFO")
	})

	begin := time.Now()
	b.Must("systemctl", "stop", "otad")
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if got := b.property("otad.service", "Result"); got != "success" {
		t.Errorf("stopped with the result %q", got)
	}
	time.Sleep(2 * time.Second) // twice RestartSec
	if got := b.property("otad.service", "ActiveState"); got != "inactive" {
		t.Errorf("after a stop it is %s", got)
	}
	b.Must("systemctl", "start", "otad")
	b.awaitState("Failed") // what the journal of otad says
}

// A process that does not turn any more is ended and started again.
func TestSystemdWatchdog(t *testing.T) {
	b := newSystemd(t, "")
	b.Must("systemctl", "start", "otad")
	old := b.mainPID()
	time.Sleep(4 * time.Second) // longer than WatchdogSec: otad reports
	if now := b.mainPID(); now != old {
		t.Fatalf("process %s became %s although it turns", old, now)
	}
	b.Must("kill", "-STOP", old)
	b.awaitAnother(old)
	b.awaitState("Idle")
	if out := b.journal(); !strings.Contains(out, "Watchdog timeout") {
		t.Errorf("another cause than the watchdog:\n%s", out)
	}
}

// Nobody else can take the addresses while otad is down, and a request waits for
// it.
func TestSystemdSocketActivation(t *testing.T) {
	b := newSystemd(t, "", "otad.socket")
	b.Must("systemctl", "enable", "--now", "otad.socket")
	if got := b.property("otad.service", "ActiveState"); got != "inactive" {
		t.Fatalf("otad is %s before the first request", got)
	}
	b.WantStat("/run/otad/api.sock", "0:990 0660")
	b.awaitState("Idle") // which starts it
	status := func(user string) (string, int) {
		return b.Run("setpriv", "--reuid="+user, "--regid="+user, "--clear-groups", "/usr/bin/otad", "status", "-listen", "unix:/run/otad/api.sock")
	}
	if out, code := status("990"); code != 0 {
		t.Errorf("otad's group is refused by the socket: %s", out)
	}
	if out, code := status("1001"); code == 0 {
		t.Errorf("a stranger is let in by the socket: %s", out)
	}
	pid := b.mainPID()
	b.Must("kill", "-KILL", pid)
	if p := b.progress(); p.State != "Idle" {
		t.Errorf("a request while otad was down was answered with %+v", p)
	}
	b.awaitAnother(pid)
	b.Must("systemctl", "stop", "otad.service")
	b.Must("systemctl", "start", "otad.service")
	if out, code := status("990"); code != 0 {
		t.Errorf("the socket is gone after a stop: %s", out)
	}
	if got := b.property("otad.socket", "ActiveState"); got != "active" {
		t.Errorf("the socket unit is %s", got)
	}

	// A configuration that is wrong must not cost the socket: when it is mended,
	// the waiting request is answered.
	b.Write("/etc/otad.conf", "checkpoint nonsense\n", 0o644)
	b.Run("systemctl", "restart", "otad.service")
	answered := make(chan string)
	go func() { answered <- b.progress().State }()
	eventually(t, "otad has failed a few times", func() bool {
		n, _ := strconv.Atoi(b.property("otad.service", "NRestarts"))
		return n >= 3
	})
	b.Write("/etc/otad.conf", "\n", 0o644)
	if state := <-answered; state != "Idle" {
		b.awaitState("Idle")
	}
	if got := b.property("otad.socket", "ActiveState"); got != "active" {
		t.Errorf("the socket unit is %s after a bad configuration", got)
	}
}

// An otad that ran as root has left its directory and its secrets; the new one
// goes on with them.
func TestSystemdUpgradeFromRoot(t *testing.T) {
	b := newSystemd(t, "")
	b.Write("/etc/otad.token", "0123456789abcdef0123456789\n", 0o600)
	b.Write("/etc/otad.header", "X-Key: secret\n", 0o600)
	b.Write("/etc/otad.conf.d/other", "not otad's\n", 0o600)
	job := b.origin(4 << 20)
	b.Must("mkdir", "-m", "755", stateIn)
	// As the old unit did, on a link that is slow enough to be cut.
	b.Run("timeout", "2", "/usr/bin/otad", "fetch", "-rate-limit", "1MB", "-version", job.Version, "-md5", job.MD5, "-size", fmt.Sprint(job.Size), "-name", job.Name, job.URL)
	b.WantStat(stateIn+"/journal.db", "0:0 0600")
	b.Write("/srv/open/header", "X-Key: secret\n", 0o600) // others can put a file there: not given away
	check(t, os.Chmod(b.Path("/srv/open"), 0o777))
	b.Write("/etc/otad.conf", "header-file /srv/open/header\n", 0o644)
	if out, code := b.Run("systemctl", "start", "otad"); code == 0 {
		t.Errorf("otad can read root's file: %s", out)
	}
	b.WantStat("/srv/open/header", "0:0 0600")
	b.Write("/etc/otad.conf", "rate-limit 1MB\ntoken-file /etc/otad.token\n header-file\t/etc/otad.header\n", 0o644)
	b.Must("systemctl", "restart", "otad")
	b.WantStat(stateIn, "990:990 0711")
	b.WantStat(stateIn+"/journal.db", "990:990 0600")
	b.WantStat("/etc/otad.token", "990:990 0600")
	b.WantStat("/etc/otad.header", "990:990 0600")
	b.WantStat("/etc/otad.conf.d/other", "0:0 0600")
	if p := b.progress(); p.State != "Downloading" || p.Durable < 1<<20 {
		t.Errorf("it does not go on from the checkpoint: %+v", p)
	}
	b.awaitState("Ready")
	b.wantPackage(job)
}

// A directory of the data partition takes the place of the state directory, as the
// README has it.
func TestSystemdDataPartition(t *testing.T) {
	b := newSystemd(t, "")
	b.Write("/etc/fstab", "/data/otad /var/lib/otad none bind 0 0\n", 0o644)
	b.Write("/data/otad/u.bin", "of an otad that ran as root", 0o644)
	b.Must("systemctl", "daemon-reload")
	b.Must("systemctl", "start", "otad") // which mounts it
	b.awaitState("Idle")
	b.WantStat("/data/otad", "990:990 0711")
	b.WantStat("/data/otad/journal.db", "990:990 0600")
	b.WantStat("/data/otad/u.bin", "990:990 0644")
}

// The unit's sandbox is as tight as systemd can rate it, for a program that needs
// the network.
func TestSystemdExposure(t *testing.T) {
	b := newSystemd(t, "")
	out, _ := b.Run("systemd-analyze", "security", "--no-pager", "otad.service")
	m := regexp.MustCompile(`Overall exposure level for otad.service: ([\d.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level:\n%s", out)
	}
	level, err := strconv.ParseFloat(m[1], 64)
	check(t, err)
	t.Logf("exposure level %s", m[1])
	if level > 1.5 {
		t.Errorf("exposure level %v, want at most 1.5:\n%s", level, out)
	}
}
