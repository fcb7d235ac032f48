package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newOpenWrt starts a board with BusyBox and the stand-ins of the folder openwrt: no
// machine of these tests has the real opkg and procd.
func newOpenWrt(t *testing.T) *board {
	t.Helper()
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"bin", "etc/rc.d", "lib", "usr/bin", "usr/lib", "var/run", "srv", "mnt", "tmp"} {
		check(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	check(t, os.Chmod(root, 0o755))
	busybox, err := exec.LookPath("busybox")
	check(t, err)
	must(t, exec.Command("cp", "-L", busybox, root+"/bin/busybox"))
	must(t, exec.Command("chroot", root, "/bin/busybox", "--install", "-s", "/bin"))
	for name, source := range map[string]string{"lib/functions.sh": "functions.sh", "etc/rc.common": "rc.common", "bin/opkg": "opkg"} {
		must(t, exec.Command("install", "-m", "755", "openwrt/"+source, filepath.Join(root, name)))
	}
	check(t, os.WriteFile(root+"/etc/passwd", []byte("root:x:0:0:root:/:/bin/sh\n"), 0o644))
	check(t, os.WriteFile(root+"/etc/group", []byte("root:x:0:\n"), 0o644))
	check(t, os.WriteFile(root+"/etc/inittab", []byte("::sysinit:/bin/true\n"), 0o644))
	return newBoard(t, root, "/bin/init") // which takes the ends of daemons, as procd does
}

func ipk(t *testing.T, version string) string {
	return only(t, filepath.Join(packageDir(t, version), "otad_*.ipk"))
}

func TestOpenWrtLife(t *testing.T) {
	b := newOpenWrt(t)
	b.must("opkg", "install", b.put(ipk(t, "")))
	b.awaitState("Idle")
	b.wantStat("/srv/otad", "otad:otad 711")
	b.wantStat("/srv/otad/journal.db", "otad:otad 600")
	pid := b.Read("/var/run/otad.pid")
	if owner := b.must("stat", "-c", "%U", "/proc/"+pid); owner != "otad" {
		t.Errorf("otad runs as %s", owner)
	}
	if !b.exists("/etc/rc.d/S95otad") {
		t.Error("it is not enabled")
	}

	conf := "# by hand\nstate-dir /srv/otad\n"
	b.Write(confIn, conf, 0o644)
	b.must("opkg", "install", b.put(ipk(t, "v9.0.0")))
	b.awaitState("Idle")
	if got := b.must("otad", "version"); !strings.Contains(got, "v9.0.0") {
		t.Errorf("upgraded to %s", got)
	}
	if got := b.Read(confIn); got != strings.TrimSpace(conf) {
		t.Errorf("the configuration has become:\n%s", got)
	}

	b.must("opkg", "remove")
	if out, code := b.run("pidof", "otad"); code == 0 {
		t.Errorf("removed, and it runs: %s", out)
	}
	for name, want := range map[string]bool{"/usr/bin/otad": false, "/etc/init.d/otad": false, "/etc/rc.d/S95otad": false, confIn: true, "/srv/otad/journal.db": true} {
		if b.exists(name) != want {
			t.Errorf("removed, and %s is there: %v", name, !want)
		}
	}
}

// A configuration that is wrong does not stop the installation, nor does an image that
// is built elsewhere.
func TestOpenWrtInstallsAnyhow(t *testing.T) {
	b := newOpenWrt(t)
	b.Write(confIn, "speed 9\nstate-dir /srv/otad\n", 0o644)
	if out := b.must("opkg", "install", b.put(ipk(t, ""))); !strings.Contains(out, confIn+" is to be mended") {
		t.Errorf("opkg prints only:\n%s", out)
	}
	b.awaitState("Idle")
	b.must("rm", "/lib/functions.sh")
	if out := b.must("/usr/lib/opkg/info/otad.postinst", "configure"); !strings.Contains(out, "no OpenWrt") {
		t.Errorf("without OpenWrt's functions it prints %q", out)
	}
}
