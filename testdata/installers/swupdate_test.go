package installers_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"otad/testdata/otadrun"
)

// swupdateFiles writes what a board with SWUpdate has: keys, slots, settings.
func (r *rig) swupdateFiles() {
	r.t.Helper()
	r.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "3650",
		"-subj", "/CN=otad test", "-addext", "extendedKeyUsage=emailProtection")
	r.slots()
	r.must("mkdir", "sockets")
	r.settings = strings.ReplaceAll("SOCKETS=DIR/sockets\nVERSIONS=DIR/sw-versions\nSILENCE=2\n", "DIR", r.dir)
	r.write("sw-versions", "loader 7\nrootfs  1.0.0\n")
}

// swu signs an image for SWUpdate, which writes it to the device.
func (r *rig) swu(name, image, device, hardware, version string) {
	r.t.Helper()
	r.write("sw-description", fmt.Sprintf(`software = { version = "%s"; hardware-compatibility: [ "%s" ];
  images: ( { filename = "%s"; device = "%s"; type = "raw"; installed-directly = true; sha256 = "%s"; } ); }
`, version, hardware, image, device, r.sha256(image)))
	r.must("openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-signer", "cert.pem", "-inkey", "key.pem", "-outform", "DER", "-nosmimecap", "-binary")
	r.must("sh", "-c", `printf '%s\n' sw-description sw-description.sig "$0" | cpio -o -H crc >"$1"`, image, name)
}

// swupdate starts SWUpdate's daemon.
func (r *rig) swupdate(args ...string) *program {
	r.t.Helper()
	check(r.t, os.RemoveAll(r.file("sockets/sockinstctrl")))
	cmd := otadrun.Command("swupdate", append([]string{"-v", "-k", "cert.pem", "-H", "otad-board:1.0"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+r.file("sockets"))
	p := r.daemon(cmd)
	eventually(r.t, "SWUpdate listens", func() bool { return exists(r.file("sockets/sockinstctrl")) && exists(r.file("sockets/swupdateprog")) })
	return p
}

func TestSWUpdate(t *testing.T) {
	underEachShell(t, "swupdate.sh", func(t *testing.T, r *rig) {
		r.swupdateFiles()
		r.image("rootfs", 4<<20)
		r.swu("u.swu", "rootfs", r.file("slot-b.img"), "1.0", "1.2.3")
		r.swu("other.swu", "rootfs", r.file("slot-b.img"), "7.7", "1.2.3")
		r.swu("held.swu", "rootfs", r.file("fifo"), "1.0", "1.2.3")
		r.tampered("u.swu", "tampered.swu", 1_000_000)
		r.tampered("u.swu", "unsigned.swu", 130) // in its description

		// Without a daemon, or with one that has ended, nothing is said of the package.
		r.want(r.start(event{Package: "u.swu"}), 75, "no SWUpdate daemon")
		daemon := r.swupdate("-R", "1.0.0")
		daemon.end()
		r.want(r.start(event{Package: "u.swu"}), 75, "does not answer")

		daemon = r.swupdate("-R", "1.0.0")
		r.want(r.start(event{Package: "tampered.swu"}), 1, "SWUpdate: ")
		r.want(r.start(event{Package: "unsigned.swu"}), 1, "SWUpdate: refused")
		r.want(r.start(event{Package: "other.swu"}), 1, "SWUpdate: refused")
		r.want(r.start(event{Package: "u.swu"}), 10, "")
		r.wantSlot("slot-b.img", "rootfs")
		r.want(r.start(event{Package: "u.swu", Attempt: 2}), 10, "")
		// The daemon may close the connection before the client has written the padding.
		r.wrap("swupdate-client", `"$REAL" "$@"; echo "swupdate_image_write failed: Broken pipe"; exit 1`+"\n")
		r.want(r.start(event{Package: "u.swu"}), 10, "SWUpdate has installed it")
		r.path = systemPath

		// Busy, and then its daemon is killed in the middle. Nobody reads what is written.
		check(t, unix.Mkfifo(r.file("fifo"), 0o600))
		first := r.start(event{Package: "held.swu"})
		eventually(t, "an installation is under way", func() bool { return strings.Contains(daemon.out.String(), "fifo") })
		r.want(r.start(event{Package: "u.swu"}), 75, "SWUpdate is busy")
		daemon.end()
		r.want(first, 75, "SWUpdate has ended in the middle")
		check(t, os.Remove(r.file("fifo")))
		daemon = r.swupdate("-R", "1.0.0")
		r.want(r.start(event{Package: "u.swu", Attempt: 2}), 10, "")
		daemon.end()

		// The board has gone back to the old slot.
		r.want(r.start(event{Name: "rebooted", Package: "u.swu"}), 1, "rolled back: 1.0.0 runs, not 1.2.3")

		// The board has come up from the new slot.
		r.write("sw-versions", "loader 7\nrootfs  1.2.3\n")
		r.swupdate("-R", "1.2.3")
		settings := r.settings
		r.settings += "healthy() { false; }\n"
		r.want(r.start(event{Name: "rebooted", Package: "u.swu"}), 75, "not healthy yet")
		r.settings = settings
		r.want(r.start(event{Name: "rebooted", Package: "u.swu"}), 0, "")

		// otad does not know that the package is installed. The old slot is kept.
		r.want(r.start(event{Package: "u.swu", Attempt: 2}), 0, "")
		r.want(r.start(event{Package: "u.swu"}), 1, "SWUpdate: refused") // by -R
	})
}
