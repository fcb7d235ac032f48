package init_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"otad/testdata/namespace"
)

const script = "/etc/init.d/S90otad"

// newBusyBox starts a board with BusyBox init, whose rcS starts a syslogd and the
// scripts in /etc/init.d as Buildroot's does. Files are the board's further ones;
// one with no content takes a default file away.
func newBusyBox(t *testing.T, files map[string]string) *board {
	t.Helper()
	t.Parallel()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("BusyBox is not there: testdata/install busybox-static")
	}
	all := map[string]string{
		"/etc/passwd":     "root:x:0:0:root:/root:/bin/sh\notad:x:990:990::/:/bin/false\nguest:x:1001:1001::/:/bin/sh\n",
		"/etc/group":      "root:x:0:\notad:x:990:\nguest:x:1001:\n",
		"/etc/inittab":    "::sysinit:/etc/init.d/rcS\n::shutdown:" + script + " stop\n",
		"/etc/init.d/rcS": "#!/bin/sh\nifconfig lo up\nsyslogd -O /var/log/messages\nfor i in /etc/init.d/S??*; do $i start; done >/var/log/boot 2>&1\ntouch /run/booted\n",
		"/etc/otad.conf":  "",
		"/etc/fstab":      "",
		script:            strings.Replace(initFile(t, "S90otad"), "\nRESTART_SECONDS=10\n", "\nRESTART_SECONDS=1\n", 1),
	}
	for name, content := range files {
		all[name] = content
	}
	links := map[string]string{}
	applets, err := exec.Command(busybox, "--list").Output()
	check(t, err)
	for _, name := range strings.Fields(string(applets)) {
		if name != "busybox" {
			links["/bin/"+name] = "busybox"
		}
	}
	b := newBoard(t, namespace.Spec{
		Init:   []string{"/bin/init"},
		Files:  all,
		Copies: map[string]string{"/bin/busybox": busybox},
		Links:  links,
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the boot wrote:\n%s\nthe log:\n%s", b.Read("/var/log/boot"), b.Read("/var/log/messages"))
		}
	})
	eventually(t, "the board is up", func() bool { return exists(b.Path("/run/booted")) })
	return b
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// script runs an action of S90otad, as over ssh: it ends when all files of the
// caller are closed.
func (b *board) script(action string) (out string, code int) {
	b.t.Helper()
	return b.Run(script, action)
}

// wantScript runs an action and reports another exit code or an output without
// the text.
func (b *board) wantScript(action string, code int, text string) {
	b.t.Helper()
	if out, got := b.script(action); got != code || !strings.Contains(out, text) {
		b.t.Fatalf("%s ends with %d, want %d and %q: %s", action, got, code, text, out)
	}
}

// processes returns the IDs of the board's processes whose command line matches.
func (b *board) processes(pattern string) []string {
	out, _ := b.Run("sh", "-c", `for p in /proc/[0-9]*; do tr '\0' ' ' 2>/dev/null <$p/cmdline | grep -q "$1" && echo ${p#/proc/}; done`, "sh", pattern)
	return strings.Fields(out)
}

const (
	otadProcess   = "^/usr/bin/otad serve"
	loggerProcess = "^logger -t otad"
)

// one waits until one process matches, and returns it.
func (b *board) one(pattern string, not string) (pid string) {
	b.t.Helper()
	eventually(b.t, "one process "+pattern, func() bool {
		pids := b.processes(pattern)
		if len(pids) != 1 || pids[0] == not {
			return false
		}
		pid = pids[0]
		return true
	})
	return pid
}

// wantLog waits until the log has a line with the text after its first n bytes.
func (b *board) wantLog(n int, text string) {
	b.t.Helper()
	eventually(b.t, "the log has "+text, func() bool { return strings.Contains(b.Read("/var/log/messages")[n:], text) })
}

func TestBusyBoxRunsAnotherUser(t *testing.T) {
	b := newBusyBox(t, map[string]string{"/etc/otad.conf": "rate-limit 1MB\nlisten 127.0.0.1:12315\nlisten unix:/run/otad/api.sock\n"})
	if got := b.Read("/var/log/boot"); got != "Starting otad: OK" {
		t.Errorf("the boot wrote %q", got)
	}
	if p := b.progress(); p.State != "Idle" {
		t.Errorf("started, and the state is %q", p.State)
	}
	pid := b.one(otadProcess, "")
	status := b.Read("/proc/" + pid + "/status")
	for _, want := range []string{"Uid:\t990\t990\t990\t990", "Gid:\t990\t990\t990\t990", "Groups:\t990", "CapEff:\t0000000000000000", "Umask:\t0077"} {
		if !strings.Contains(status, want) {
			t.Errorf("otad runs without %q:\n%s", want, status)
		}
	}
	b.WantStat(stateIn, "990:990 0711")
	b.WantStat(stateIn+"/journal.db", "990:990 0600")
	b.WantStat("/run/otad/api.sock", "990:990 0660")
	b.wantScript("status", 0, "process "+pid+"\nIdle 0%")
	b.wantScript("start", 0, "otad is running")

	// It is killed in the middle, started again, and goes on.
	job := b.origin(3 << 20)
	b.post(job)
	eventually(t, "some of the package is stored", func() bool { return b.progress().Durable >= 1<<20 })
	b.Must("kill", "-KILL", pid)
	b.wantLog(0, "otad ended with exit code 137 and is started again")
	pid = b.one(otadProcess, pid)
	b.awaitState("Ready")
	b.wantPackage(job)
	if out, code := b.Run("su", "guest", "-c", "md5sum "+stateIn+"/u.bin"); code != 0 {
		t.Errorf("another user cannot read the package: %s", out)
	}

	// A reload keeps the process.
	b.Write("/etc/otad.conf", "log-level debug\n", 0o644)
	b.wantScript("reload", 0, "")
	b.wantLog(0, "msg=reloaded")
	if now := b.one(otadProcess, ""); now != pid {
		t.Errorf("process %s is %s after a reload", pid, now)
	}

	begin := time.Now()
	b.wantScript("stop", 0, "OK")
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the stop took %v", took)
	}
	time.Sleep(2 * time.Second) // twice RESTART_SECONDS
	if left := append(b.processes(otadProcess), b.processes("^/bin/sh .*S90otad")...); len(left) != 0 {
		t.Errorf("processes after a stop: %v", left)
	}
	eventually(t, "the logger has ended", func() bool { return len(b.processes(loggerProcess)) == 0 })
	b.wantScript("status", 3, "otad is stopped")
	b.wantScript("reload", 1, "otad is not running")
	b.wantScript("stop", 0, "OK")
	b.wantScript("restart", 0, "OK")
	b.awaitState("Ready")
}

// The log goes on when the logger, and even the shell that starts it again, are
// killed, and otad does too.
func TestBusyBoxLoggerIsKilled(t *testing.T) {
	b := newBusyBox(t, nil)
	pid := b.one(otadProcess, "")
	old := b.one(loggerProcess, "")
	for range 3 {
		n := len(b.Read("/var/log/messages"))
		b.Must("kill", "-KILL", old)
		old = b.one(loggerProcess, old)
		b.wantScript("reload", 0, "")
		b.wantLog(n, "msg=reloaded")
	}
	for _, pid := range append(b.processes("^/bin/sh .*S90otad log"), old) {
		b.Must("kill", "-KILL", pid)
	}
	b.wantScript("reload", 0, "")
	b.wantScript("status", 0, "process "+pid)
	b.Must("kill", "-KILL", pid)
	b.one(otadProcess, pid) // the supervisor lives without a log
	b.wantScript("restart", 0, "OK")
	n := len(b.Read("/var/log/messages"))
	b.wantScript("reload", 0, "")
	b.wantLog(n, "msg=reloaded")
}

// A process ID in a file that another boot has left behind belongs to a stranger.
func TestBusyBoxStalePIDFiles(t *testing.T) {
	b := newBusyBox(t, nil)
	b.wantScript("stop", 0, "OK")
	b.Must("sh", "-c", "sleep 1000 >/dev/null 2>&1 &")
	stranger := b.one("^sleep 1000", "")
	b.Write("/run/otad.pid", stranger+"\n", 0o644)
	b.Write("/run/otad.supervisor", stranger+" starts otad\n", 0o644)
	b.wantScript("status", 3, "otad is stopped")
	b.wantScript("start", 0, "OK")
	b.awaitState("Idle")
	b.wantScript("stop", 0, "OK")
	b.Write("/run/otad.pid", stranger+"\n", 0o644)
	b.Write("/run/otad.supervisor", stranger+" starts otad\n", 0o644)
	b.wantScript("stop", 0, "OK")
	if now := b.one("^sleep 1000", ""); now != stranger {
		t.Error("a stranger's process was killed")
	}
}

// OK is said of an otad that lives and answers, and of no other.
func TestBusyBoxWrongConfiguration(t *testing.T) {
	b := newBusyBox(t, map[string]string{"/etc/otad.conf": "checkpoint nonsense\n"})
	boot := b.Read("/var/log/boot")
	if !strings.Contains(boot, "checkpoint") || !strings.Contains(boot, "FAIL: otad ended with exit code 2") || strings.Contains(boot, "OK") {
		t.Errorf("the boot wrote %q", boot)
	}
	b.wantScript("status", 3, "exit code 2")
	b.Write("/etc/otad.conf", "", 0o644)
	b.awaitState("Idle") // without another start
	b.wantScript("status", 0, "Idle")
}

// An otad whose supervisor is killed goes on; the next start has another one.
func TestBusyBoxSupervisorIsKilled(t *testing.T) {
	b := newBusyBox(t, nil)
	pid := b.one(otadProcess, "")
	b.Must("kill", "-KILL", strings.Fields(b.Read("/run/otad.supervisor"))[0])
	eventually(t, "the status shows it", func() bool { out, _ := b.script("status"); return strings.Contains(out, "no supervisor") })
	b.wantScript("start", 0, "OK")
	b.one(otadProcess, pid)
	b.Must("kill", "-KILL", strings.Fields(b.Read("/run/otad.supervisor"))[0])
	// After an upgrade its file is another one.
	b.Must("sh", "-c", "cp /usr/bin/otad /usr/bin/otad.new && mv /usr/bin/otad.new /usr/bin/otad")
	b.wantScript("stop", 0, "OK")
	if left := b.processes(otadProcess); len(left) != 0 {
		t.Errorf("process %v runs on after a stop", left)
	}
}

// The data partition is mounted after the script was run.
func TestBusyBoxMountComesLater(t *testing.T) {
	b := newBusyBox(t, map[string]string{
		"/etc/fstab":     "/dev/root / ext4 defaults 0 1\nproc /proc proc defaults 0 0\n#/dev/old /data/updates ext4 defaults 0 0\n/dev/card /data/updates/otad ext4 noauto 0 0\n/dev/mmcblk0p4 /data ext4 defaults 0 2\n",
		"/etc/otad.conf": "#state-dir /var/lib/otad\n  state-dir \t/data/updates/otad \n",
		"/data/README":   "a mount point\n",
	})
	if got := b.Read("/var/log/boot"); got != "Starting otad: waits for /data/updates/otad on /data" {
		t.Errorf("the boot wrote %q", got)
	}
	b.wantScript("status", 3, "waits for /data/updates/otad")
	b.Must("mount", "-t", "tmpfs", "data", "/data")
	b.awaitState("Idle")
	b.WantStat("/data/updates", "0:0 0755")
	b.WantStat("/data/updates/otad", "990:990 0711")
	b.wantScript("restart", 0, "OK")
	b.Must("umount", "-l", "/data")
	b.wantScript("stop", 0, "OK")
}

// A directory whose place is not there is not made: something else mounts it.
func TestBusyBoxStateDirectoryComesLater(t *testing.T) {
	b := newBusyBox(t, map[string]string{"/etc/otad.conf": "state-dir /data/otad\n", "/etc/fstab": "/dev/root / ext4 defaults 0 1\n"})
	b.wantScript("status", 3, "waits for /data/otad")
	b.wantScript("stop", 0, "OK")
	b.wantScript("start", 0, "waits for /data/otad")
	b.Must("mkdir", "/data")
	b.awaitState("Idle")
	b.WantStat("/data/otad", "990:990 0711")
}

func TestBusyBoxNoSuchUser(t *testing.T) {
	b := newBusyBox(t, map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"})
	b.wantScript("start", 1, "there is no user otad")
	if left := b.processes(otadProcess); len(left) != 0 {
		t.Error("otad runs as root")
	}
}

// An otad that ran as root has left its directory and its secrets. What else is
// there stays root's.
func TestBusyBoxUpgradeFromRoot(t *testing.T) {
	b := newBusyBox(t, map[string]string{"/etc/otad.conf": "rate-limit 1MB\ntoken-file /etc/otad.token\nheader-file /tmp/otad.header \n"})
	b.wantScript("stop", 0, "OK")
	check(t, os.RemoveAll(b.Path(stateIn)))
	b.Write("/etc/otad.token", "0123456789abcdef0123456789\n", 0o600)
	b.Write("/tmp/otad.header", "X-Key: secret\n", 0o600) // others can put a file there: not given away
	job := b.origin(4 << 20)
	b.Must("mkdir", "-m", "755", stateIn)
	b.Run("timeout", "2", "/usr/bin/otad", "fetch", "-rate-limit", "1MB", "-version", job.Version, "-md5", job.MD5, "-size", fmt.Sprint(job.Size), "-name", job.Name, job.URL)
	b.WantStat(stateIn+"/journal.db", "0:0 0600")
	b.Write(stateIn+"/old package.bin", "of an earlier job", 0o644)
	b.Write(stateIn+"/lost+found/file", "", 0o600)
	b.Write("/etc/shadow", "root's", 0o600)
	check(t, os.Link(b.Path("/etc/shadow"), b.Path(stateIn+"/linked")))
	check(t, os.Symlink("/etc/passwd", b.Path(stateIn+"/pointer")))

	b.wantScript("start", 1, "header file") // it cannot be read
	b.WantStat("/tmp/otad.header", "0:0 0600")
	b.Write("/etc/otad.conf", "rate-limit 1MB\ntoken-file /etc/otad.token\n", 0o644)
	b.wantScript("restart", 0, "OK")
	b.WantStat(stateIn, "990:990 0711")
	b.WantStat(stateIn+"/journal.db", "990:990 0600")
	b.WantStat(stateIn+"/old package.bin", "990:990 0644")
	b.WantStat("/etc/otad.token", "990:990 0600")
	for _, name := range []string{"/etc/shadow", stateIn + "/lost+found/file"} {
		b.WantStat(name, "0:0 0600")
	}
	b.WantStat("/etc/passwd", "0:0 0644")
	b.WantStat(stateIn+"/pointer", "0:0 0777")
	if p := b.progress(); p.State != "Downloading" || p.Durable < 1<<20 {
		t.Errorf("it does not go on from the checkpoint: %+v", p)
	}
	b.awaitState("Ready")
	b.wantPackage(job)

	// From now on nothing of root's in otad's own directory is touched.
	b.Write(stateIn+"/bait", "", 0o600)
	b.wantScript("restart", 0, "OK")
	b.WantStat(stateIn+"/bait", "0:0 0600")
}

// init itself starts the supervisor again, by the line for /etc/inittab that the
// script has.
func TestBusyBoxRespawnByInit(t *testing.T) {
	text := strings.Replace(initFile(t, "S90otad"), "\nRESTART_SECONDS=10\n", "\nRESTART_SECONDS=1\n", 1)
	line := regexp.MustCompile(`(?m)^#\s+(::respawn:.*)$`).FindStringSubmatch(text)
	if line == nil {
		t.Fatal("the script has no line for /etc/inittab")
	}
	const own = "/etc/init.d/otad.sh"
	b := newBusyBox(t, map[string]string{script: "#!/bin/sh\n", own: text, "/etc/inittab": "::sysinit:/etc/init.d/rcS\n" + line[1] + "\n"})
	b.awaitState("Idle")
	pid := b.one(otadProcess, "")
	b.Must("kill", "-KILL", pid)
	pid = b.one(otadProcess, pid)
	b.wantLog(0, "otad ended with exit code 137")
	// Without its supervisor it runs on, and when it ends, both come back.
	old := b.one("^/bin/sh .*otad.sh supervise $", "")
	b.Must("kill", "-KILL", old)
	b.Must("kill", "-KILL", pid)
	b.one(otadProcess, pid)
	b.one("^/bin/sh .*otad.sh supervise $", old)
	eventually(t, "it answers", func() bool { _, code := b.Run(own, "status"); return code == 0 })
}

// The script needs no tool of BusyBox's own: dash, GNU's tools and the
// start-stop-daemon of dpkg do.
func TestScriptWithOtherTools(t *testing.T) {
	b := newSystemd(t, "")
	b.Write(script, initFile(t, "S90otad"), 0o755)
	b.Must("mkdir", "-m", "755", stateIn)
	b.Write(stateIn+"/u.bin", "of an otad that ran as root", 0o644)
	b.wantScript("start", 0, "OK")
	b.awaitState("Idle")
	b.WantStat(stateIn, "990:990 0711")
	b.WantStat(stateIn+"/u.bin", "990:990 0644")
	pid := b.one(otadProcess, "")
	if status := b.Read("/proc/" + pid + "/status"); !strings.Contains(status, "Uid:\t990\t990\t990\t990") {
		t.Errorf("otad runs as another user:\n%s", status)
	}
	b.wantScript("status", 0, "Idle")
	b.wantScript("reload", 0, "")
	eventually(t, "the log has the reload", func() bool {
		out, _ := b.Run("journalctl", "-t", "otad", "--no-pager", "-q")
		return strings.Contains(out, "msg=reloaded")
	})
	b.wantScript("stop", 0, "OK")
	b.wantScript("status", 3, "stopped")
}
