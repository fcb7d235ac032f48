package installers_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"otad/testdata/otadrun"
)

// bootloader is a boot loader of RAUC's that keeps its state in files and writes down
// what it is asked. While there is a file "hold", it holds the installation.
const bootloader = `#!/bin/sh
cd "${0%/*}" || exit 1
echo "$*" >>asked
case $1 in
get-primary) cat primary ;;
set-primary) echo "$2" >primary ;;
get-state) cat "state.$2" ;;
set-state)
	while [ -e hold ]; do touch held; sleep .02; done
	echo "$3" >"state.$2" ;;
esac
`

// newBus starts a bus and returns its address.
func (r *rig) newBus() string {
	r.t.Helper()
	address := "unix:path=" + r.file("bus")
	r.daemon(otadrun.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address="+address))
	eventually(r.t, "there is a bus", func() bool { _, err := os.Stat(r.file("bus")); return err == nil })
	return address
}

// raucFiles writes what a board with RAUC has: keys, slots, a boot loader, settings.
func (r *rig) raucFiles(bus string) {
	r.t.Helper()
	r.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "3650", "-subj", "/CN=otad test")
	r.slots()
	r.must("mkdir", "mnt")
	for name, content := range map[string]string{"primary": "A\n", "state.A": "good\n", "state.B": "good\n", "bootloader.sh": bootloader} {
		r.write(name, content)
	}
	r.write("system.conf", strings.ReplaceAll(`[system]
compatible=otad-board
bootloader=custom
statusfile=DIR/status
mountprefix=DIR/mnt
bundle-formats=+plain
[keyring]
path=DIR/cert.pem
[handlers]
bootloader-custom-backend=DIR/bootloader.sh
[slot.rootfs.0]
device=DIR/slot-a.img
type=raw
bootname=A
[slot.rootfs.1]
device=DIR/slot-b.img
type=raw
bootname=B
`, "DIR", r.dir))
	r.settings = "export DBUS_STARTER_BUS_TYPE=session DBUS_SESSION_BUS_ADDRESS=" + bus + "\n"
}

// bundle signs a bundle of the image.
func (r *rig) bundle(name, image, compatible, version string) {
	r.t.Helper()
	check(r.t, os.RemoveAll(r.file("content")))
	r.must("mkdir", "content")
	r.must("cp", image, "content/rootfs.img")
	r.write("content/manifest.raucm", fmt.Sprintf("[update]\ncompatible=%s\nversion=%s\n\n[bundle]\nformat=plain\n\n[image.rootfs]\nfilename=rootfs.img\n", compatible, version))
	r.must("rauc", "--cert=cert.pem", "--key=key.pem", "bundle", "content", name)
}

// rauc starts RAUC's service, on a board that has started from the slot.
func (r *rig) rauc(bus, slot string) *program {
	r.t.Helper()
	cmd := otadrun.Command("rauc", "--conf="+r.file("system.conf"), "--override-boot-slot="+slot, "service")
	cmd.Env = append(os.Environ(), "DBUS_STARTER_BUS_TYPE=session", "DBUS_SESSION_BUS_ADDRESS="+bus)
	p := r.daemon(cmd)
	eventually(r.t, "RAUC is on the bus", func() bool {
		return exec.Command("busctl", "--address="+bus, "status", "de.pengutronix.rauc").Run() == nil
	})
	return p
}

// wantFile reports another content of a file.
func (r *rig) wantFile(name, want string) {
	r.t.Helper()
	if got := strings.TrimSpace(r.read(name)); got != want {
		r.t.Fatalf("%s is %q, want %q", name, got, want)
	}
}

func TestRAUC(t *testing.T) {
	underEachShell(t, "rauc.sh", func(t *testing.T, r *rig) {
		bus := r.newBus()
		r.raucFiles(bus)
		r.image("rootfs", 2<<20)
		r.bundle("u.raucb", "rootfs", "otad-board", "1.2.3")
		r.bundle("other.raucb", "rootfs", "other-board", "1.2.3")
		r.tampered("u.raucb", "tampered.raucb", 100_000)

		// Without a service nothing is said of the bundle.
		r.want(r.start(event{Package: "u.raucb"}), 75, "")
		service := r.rauc(bus, "A")
		r.want(r.start(event{Package: "tampered.raucb"}), 1, "LastError: signature verification failed")
		r.want(r.start(event{Package: "other.raucb"}), 1, "Compatible mismatch")
		r.wantFile("primary", "A")
		r.want(r.start(event{Package: "u.raucb"}), 10, "succeeded")
		r.wantFile("primary", "B")
		r.wantFile("state.B", "bad") // until the board has come up from it
		r.wantSlot("slot-b.img", "rootfs")
		r.want(r.start(event{Package: "u.raucb", Attempt: 2}), 10, "succeeded")

		// Busy, and then its service is killed in the middle.
		r.write("hold", "")
		first := r.start(event{Package: "u.raucb"})
		eventually(t, "an installation is under way", func() bool { return exists(r.file("held")) })
		r.want(r.start(event{Package: "u.raucb"}), 75, "D-Bus error while installing")
		service.end()
		r.want(first, 75, "")
		check(t, os.Remove(r.file("hold")))
		service = r.rauc(bus, "A")
		r.want(r.start(event{Package: "u.raucb", Attempt: 2}), 10, "succeeded")
		service.end()

		// The board has gone back to the old slot.
		service = r.rauc(bus, "A")
		r.want(r.start(event{Name: "rebooted", Package: "u.raucb"}), 1, "rolled back: another system runs, not 1.2.3")
		service.end()
		r.want(r.start(event{Name: "rebooted", Package: "u.raucb"}), 75, "RAUC does not answer")

		// The board has come up from the new slot.
		r.rauc(bus, "B")
		settings := r.settings
		r.settings += "healthy() { false; }\n"
		r.want(r.start(event{Name: "rebooted", Package: "u.raucb"}), 75, "not healthy yet")
		r.wantFile("state.B", "bad")
		r.settings = settings
		r.want(r.start(event{Name: "rebooted", Package: "u.raucb"}), 0, "")
		r.wantFile("state.B", "good")
		r.want(r.start(event{Name: "rebooted", Package: "u.raucb", Attempt: 2}), 0, "")

		// otad does not know that the package is installed. The old slot is kept.
		r.write("state.B", "bad\n")
		r.want(r.start(event{Package: "u.raucb", Attempt: 2}), 0, "")
		r.wantFile("state.B", "good")
		r.wantFile("primary", "B")

		r.want(r.start(event{Name: "rebooted", Package: "u.raucb", Version: "1.2.4"}), 1, "rolled back: 1.2.3 runs, not 1.2.4")
		r.want(r.start(event{Package: "u.raucb"}), 10, "succeeded") // a first run installs
		r.wantFile("primary", "A")
	})
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
