package packages_test

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

const (
	stateIn = "/var/lib/otad"
	confIn  = "/etc/otad.conf"
	api     = "http://127.0.0.1:12315"
)

// newDebian starts a board with Debian's dpkg. It is the folder of an image at first,
// in which no systemd runs.
func newDebian(t *testing.T) *board {
	t.Helper()
	t.Parallel()
	cache, err := os.UserCacheDir()
	check(t, err)
	root := filepath.Join(cache, "otad-packages", "root")
	if _, err := os.Stat(root); err != nil {
		t.Fatalf("no Debian: run testdata/packages/setup.sh (%v)", err)
	}
	b := newBoard(t, root, "/bin/sh", "-c", "until [ -e /run/boot ]; do sleep 0.1; done; exec /usr/lib/systemd/systemd --system --unit=multi-user.target --log-target=journal")
	t.Cleanup(func() {
		if t.Failed() && b.exists("/run/systemd/system") {
			out, _ := b.run("journalctl", "-b", "--no-pager", "-n", "60")
			t.Logf("the journal:\n%s", out)
		}
	})
	return b
}

// boot starts the board's systemd.
func (b *board) boot() {
	b.t.Helper()
	b.Write("/run/boot", "", 0o644)
	eventually(b.t, "systemd is up", func() bool {
		state, _ := b.run("systemctl", "is-system-running")
		return state == "running" || state == "degraded"
	})
}

// dpkg installs a package with the answer that an unattended board gives to a
// question about its configuration, and returns what it prints.
func (b *board) dpkg(file string) string {
	b.t.Helper()
	return b.must("dpkg", "--force-confold", "-i", b.put(file))
}

// put copies a file of this machine to the board and returns its name there.
func (b *board) put(file string) string {
	b.t.Helper()
	to := "/tmp/" + filepath.Base(file)
	b.copy(file, to)
	return to
}

// mainPID returns the process of otad, "0" for none.
func (b *board) mainPID() string {
	b.t.Helper()
	return b.must("systemctl", "show", "-P", "MainPID", "otad.service")
}

func (b *board) progress() otadrun.Progress {
	var r otadrun.Response
	resp, err := b.client().Get(api + "/api/v1.0/progress")
	if err != nil {
		return otadrun.Progress{}
	}
	defer resp.Body.Close()
	check(b.t, json.NewDecoder(resp.Body).Decode(&r))
	return r.Data
}

func (b *board) awaitState(state string) {
	b.t.Helper()
	eventually(b.t, "the state is "+state, func() bool { return b.progress().State == state })
}

// origin serves a package of this size to the board, and returns its job.
func (b *board) origin(size int) otadrun.Job {
	b.t.Helper()
	content := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	var l net.Listener
	var err error
	b.InNetwork(func() { l, err = net.Listen("tcp", "127.0.0.1:0") })
	check(b.t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "u.bin", time.Unix(1e9, 0), bytes.NewReader(content))
	})}
	go func() { _ = server.Serve(l) }() // the error reports that it was closed
	b.t.Cleanup(func() { server.Close() })
	return otadrun.Job{Version: "1.2.3", URL: fmt.Sprintf("http://%s/u.bin", l.Addr()), Name: "u.bin", Size: int64(size), MD5: fmt.Sprintf("%x", md5.Sum(content))}
}

func (b *board) post(job otadrun.Job) {
	b.t.Helper()
	body, err := json.Marshal(job)
	check(b.t, err)
	resp, err := b.client().Post(api+"/api/v1.0/download", "application/json", bytes.NewReader(body))
	check(b.t, err)
	defer resp.Body.Close()
	var r otadrun.Response
	check(b.t, json.NewDecoder(resp.Body).Decode(&r))
	check(b.t, r.Err())
}

// wantPackage reports a package that is not the job's.
func (b *board) wantPackage(job otadrun.Job) {
	b.t.Helper()
	b.wantStat(stateIn+"/"+job.Name, "otad:otad 644")
	if sum := b.must("md5sum", stateIn+"/"+job.Name); !strings.HasPrefix(sum, job.MD5) {
		b.t.Errorf("the package has the MD5 %s, want %s", sum, job.MD5)
	}
}

// From an image in which nothing runs to the purge: what the administrator has
// written and what otad has stored is never lost but by the purge.
func TestDebianLife(t *testing.T) {
	b := newDebian(t)
	b.dpkg(deb(t, ""))
	b.boot()
	b.awaitState("Idle") // the image has enabled it
	old := b.mainPID()
	if status := b.Read("/proc/" + old + "/status"); strings.Contains(status, "Uid:\t0") {
		t.Errorf("otad runs as root:\n%s", status)
	}
	if user := b.must("stat", "-c", "%U:%G", "/proc/"+old); user != "otad:otad" {
		t.Errorf("otad runs as %s", user)
	}
	b.wantStat(stateIn, "otad:otad 711")
	if out := b.must("dpkg", "--verify", "otad"); out != "" {
		t.Errorf("dpkg --verify: %s", out)
	}
	if got := b.must("systemctl", "is-enabled", "otad.service"); got != "enabled" {
		t.Errorf("the unit is %s", got)
	}

	// An upgrade in the middle of a download.
	conf := b.Read(confIn) + "\nrate-limit 1MB\n# by hand\n"
	b.Write(confIn, conf, 0o644)
	b.must("systemctl", "reload", "otad")
	job := b.origin(5 << 20)
	b.post(job)
	eventually(t, "some of the package is stored", func() bool { return b.progress().Durable >= 1<<20 })
	b.dpkg(deb(t, "v9.0.0"))
	eventually(t, "the new otad answers", func() bool { return b.progress().State != "" && b.mainPID() != old })
	if p := b.progress(); p.Durable < 1<<20 {
		t.Errorf("the upgrade has cost the checkpoint: %+v", p)
	}
	if got := b.must("otad", "version"); !strings.Contains(got, "v9.0.0") {
		t.Errorf("upgraded to %s", got)
	}
	b.awaitState("Ready")
	b.wantPackage(job)
	if b.Read(confIn) != strings.TrimSpace(conf) {
		t.Errorf("the upgrade has changed the configuration:\n%s", b.Read(confIn))
	}

	// The way back is an installation, too.
	b.dpkg(deb(t, ""))
	b.awaitState("Ready")

	b.must("dpkg", "-r", "otad")
	if out, code := b.run("systemctl", "is-active", "otad.service"); code == 0 {
		t.Errorf("removed, and the unit is %s", out)
	}
	if out, code := b.run("sh", "-c", "grep -lx otad /proc/[0-9]*/comm"); code == 0 {
		t.Errorf("removed, and it runs: %s", out)
	}
	b.wantPackage(job)
	if b.exists("/usr/bin/otad") || b.Read(confIn) != strings.TrimSpace(conf) {
		t.Error("remove takes the binary and nothing else")
	}

	b.dpkg(deb(t, "v9.0.0"))
	b.awaitState("Ready")

	b.must("dpkg", "-P", "otad")
	if out := b.must("find", "/etc", "/usr", "/var/lib", "/run", "-name", "*otad*"); out != "" {
		t.Errorf("the purge leaves:\n%s", out)
	}
	b.must("getent", "passwd", "otad")
}

// What an otad of root has left is given to the new one, and nothing else.
func TestDebianUpgradeOfAnOtadThatRanAsRoot(t *testing.T) {
	b := newDebian(t)
	b.must("dpkg-deb", "-x", b.put(deb(t, "")), "/tmp/by-hand")
	b.must("cp", "/tmp/by-hand/usr/bin/otad", "/usr/bin/otad")
	b.Write(confIn, "# by hand\nrate-limit 1MB\n", 0o644)
	job := b.origin(5 << 20)
	b.must("mkdir", "-m", "755", stateIn)
	fetched, _ := b.run("timeout", "3", "/usr/bin/otad", "fetch", "-quiet", "-config", confIn, "-version", job.Version, "-md5", job.MD5,
		"-size", fmt.Sprint(job.Size), "-name", job.Name, job.URL)
	if !b.exists(stateIn + "/journal.db") {
		t.Fatalf("no download: %s", fetched)
	}
	b.wantStat(stateIn+"/journal.db", "root:root 600")
	b.must("sh", "-ec", `cd /var/lib/otad
		mkdir folder; echo >folder/file
		echo secret >/etc/secret; chmod 600 /etc/secret; ln /etc/secret hard; ln -s /etc/secret soft
		echo >other; chown daemon:daemon other`)
	b.boot()

	b.dpkg(deb(t, "v9.0.0"))
	b.wantStat(stateIn, "otad:otad 711")
	b.wantStat(stateIn+"/journal.db", "otad:otad 600")
	b.wantStat(stateIn+"/folder", "root:root 755")
	b.wantStat(stateIn+"/folder/file", "root:root 644")
	b.wantStat(stateIn+"/other", "daemon:daemon 644")
	b.wantStat(stateIn+"/soft", "root:root 777")
	b.wantStat("/etc/secret", "root:root 600")
	if got := b.Read(confIn); got != "# by hand\nrate-limit 1MB" {
		t.Errorf("the configuration has become:\n%s", got)
	}
	eventually(t, "otad answers", func() bool { return b.progress().State != "" })
	if p := b.progress(); p.State != "Downloading" || p.Durable < 1<<20 {
		t.Errorf("it does not go on from the checkpoint: %+v", p)
	}
	b.awaitState("Ready")
	b.wantPackage(job)
}

// A unit in /etc wins over that of the package and may run otad as root: its state
// must stay usable for it.
func TestDebianSaysThatAUnitOfAnInstallationByHandHidesItsOwn(t *testing.T) {
	b := newDebian(t)
	hiding := "/etc/systemd/system/otad.service"
	b.Write(hiding, "[Service]\nExecStart=/usr/bin/otad serve -config /etc/otad.conf\n", 0o644)
	b.must("mkdir", "-m", "755", stateIn)
	b.boot()
	if out := b.dpkg(deb(t, "")); !strings.Contains(out, hiding+" hides the unit of this package") {
		t.Errorf("dpkg prints only:\n%s", out)
	}
	b.wantStat(stateIn, "root:root 755")
	// What it asks for is enough.
	b.must("rm", hiding)
	b.must("sh", "-ec", "systemctl daemon-reload && systemctl restart otad")
	b.awaitState("Idle")
	b.wantStat(stateIn, "otad:otad 711")
}

func TestDebianInstallsWithAConfigurationThatIsWrong(t *testing.T) {
	b := newDebian(t)
	b.Write(confIn, "speed 9\n", 0o644)
	b.boot()
	out := b.dpkg(deb(t, ""))
	for _, want := range []string{confIn + ":1: unknown key", confIn + " is to be mended"} {
		if !strings.Contains(out, want) {
			t.Errorf("dpkg does not print %q:\n%s", want, out)
		}
	}
	b.awaitState("Idle") // serve only warns
}

func TestDebianKeepsAChangedConfiguration(t *testing.T) {
	b := newDebian(t)
	b.dpkg(deb(t, ""))
	// A newer package, with another sample.
	newer := "/tmp/newer.deb"
	b.must("sh", "-ec", `dpkg-deb -R "$0" /tmp/tree
		echo "# newer" >>/tmp/tree/etc/otad.conf
		sed -i "s/^Version:.*/Version: 99/" /tmp/tree/DEBIAN/control
		dpkg-deb -b /tmp/tree `+newer, b.put(deb(t, "")))
	b.Write(confIn, "# by hand\n", 0o644)
	b.must("dpkg", "--force-confold", "-i", newer)
	if got := b.Read(confIn); got != "# by hand" {
		t.Errorf("the configuration has become:\n%s", got)
	}
	if got := b.Read(confIn + ".dpkg-dist"); !strings.HasSuffix(got, "# newer") {
		t.Errorf("the newer sample is not beside it: %q", got)
	}
	// Without edits the newer one comes into effect, and no question is asked.
	b.must("dpkg", "-P", "otad")
	b.dpkg(deb(t, ""))
	b.must("dpkg", "-i", newer)
	if got := b.Read(confIn); !strings.HasSuffix(got, "# newer") {
		t.Errorf("the newer sample is not in effect:\n%s", got)
	}
}

// A Debian without systemd: the user comes from adduser, and otad runs as the unit
// would start it.
func TestDebianWithoutSystemd(t *testing.T) {
	b := newDebian(t)
	b.must("rm", "/usr/bin/systemd-sysusers", "/usr/bin/systemctl")
	b.dpkg(deb(t, ""))
	line := b.must("sed", "-n", "s/^ExecStart=//p", "/usr/lib/systemd/system/otad.service")
	// Without the processes of the board nsenter does not fork: Kill reaches otad.
	cmd := exec.Command("nsenter", append([]string{"-t", b.PID(), "-m", "-n", "--root=" + b.Path("/"),
		"setpriv", "--reuid=otad", "--regid=otad", "--init-groups"}, strings.Fields(line)...)...)
	p, err := otadrun.Start(cmd)
	check(t, err)
	t.Cleanup(func() { p.Kill() })
	b.awaitState("Idle")
	b.wantStat(stateIn+"/journal.db", "otad:otad 600")
	b.must("dpkg", "-P", "otad")
	if b.exists(stateIn) {
		t.Error("the purge leaves the state")
	}
}
