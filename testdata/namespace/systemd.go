package namespace

import (
	"os"
	"testing"
)

const systemd = "/usr/lib/systemd/systemd"

// masked are the units of this machine's /usr that a board does not need, or that
// set something of the kernel.
var masked = []string{"dbus.service", "dbus.socket", "getty.target", "kmod-static-nodes.service", "proc-sys-fs-binfmt_misc.automount",
	"systemd-binfmt.service", "systemd-logind.service", "systemd-modules-load.service", "systemd-networkd.service",
	"systemd-resolved.service", "systemd-sysctl.service", "systemd-sysusers.service", "systemd-timesyncd.service",
	"systemd-tmpfiles-setup-dev.service", "systemd-tmpfiles-setup.service", "systemd-udev-trigger.service", "systemd-udevd.service"}

// Systemd returns the root of a board with systemd and the users otad and guest.
func Systemd(t *testing.T) Spec {
	t.Helper()
	if _, err := os.Stat(systemd); err != nil {
		t.Fatal("systemd is not there: testdata/install systemd")
	}
	s := Spec{
		Init:    []string{systemd, "--system", "--unit=multi-user.target", "--log-target=journal"},
		Usr:     true,
		Folders: []string{"/var/log/journal"},
		Files: map[string]string{
			"/etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\notad:x:990:990::/:/usr/sbin/nologin\nguest:x:1001:1001::/:/bin/sh\n",
			"/etc/group":         "root:x:0:\nadm:x:4:\nnogroup:x:65534:\nsystemd-journal:x:991:\notad:x:990:\nguest:x:1001:\n",
			"/etc/nsswitch.conf": "passwd: files\ngroup: files\n",
			"/etc/machine-id":    "0123456789abcdef0123456789abcdef\n",
			"/etc/os-release":    "ID=otad-test\n",
		},
		Links:  map[string]string{},
		Copies: map[string]string{"/etc/ld.so.cache": "/etc/ld.so.cache"},
	}
	for _, unit := range masked {
		s.Links["/etc/systemd/system/"+unit] = "/dev/null"
	}
	return s
}

// AwaitSystemd waits until systemd has started its target. If the test fails later, it
// logs what hinders systemd, and the journal.
func (b *Board) AwaitSystemd() {
	b.t.Helper()
	b.t.Cleanup(func() {
		if b.t.Failed() {
			jobs, _ := b.Run("systemctl", "list-jobs", "--no-pager")
			out, _ := b.Run("journalctl", "-b", "--no-pager", "-n", "100")
			b.t.Logf("the jobs of systemd:\n%s\nthe journal:\n%s", jobs, out)
		}
	})
	eventually(b.t, "systemd is up", func() bool {
		state, _ := b.Run("systemctl", "is-system-running")
		return state == "running" || state == "degraded"
	})
}
