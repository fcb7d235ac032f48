package installers_test

import (
	"strings"
	"testing"

	"otad/testdata/namespace"
)

// handedOver is a command that writes down what it was given, in the only place where
// it may write.
const handedOver = `#!/bin/sh
[ "$OTAD_EVENT" = ready ] || exit 0
echo "device=${OTAD_DEVICE-} package=${OTAD_PACKAGE-}" >/var/lib/otad/handed-over
exit 10
`

// otad under its unit writes a package straight to a device if the drop-in and the
// device's group allow it. Where one of them is missing it says which, and writes
// nothing.
func TestUnitOutput(t *testing.T) {
	const path = "/dev/disk/by-partlabel/root-b"
	var slot namespace.Device
	u := newUnit(t, "ab-dd.sh", func(r *rig, s *namespace.Spec) {
		r.image("slot-b.img", 16<<20) // what an earlier system has left
		slot = loop(t, r.file("slot-b.img"), "/dev/mmcblk0p3")
		s.Devices = append(s.Devices, slot)
		s.Folders = append(s.Folders, "/dev/disk/by-partlabel")
		s.Links[path] = "../../mmcblk0p3"
		s.Files["/usr/lib/otad/handed-over.sh"] = handedOver
		s.Files["/etc/otad.conf"] = "output slot-b=" + path + "\non-ready /usr/lib/otad/handed-over.sh\n"
	})
	u.rig.image("u.img", 3<<20+12345)
	before := u.rig.sha256("slot-b.img")
	refused := func(version, problem string) {
		t.Helper()
		u.post("u.img", version, "slot-b")
		u.await("failed", "DOWNLOAD_FAILED: "+path+" cannot be opened")
		u.await("failed", problem)
		if u.rig.sha256("slot-b.img") != before {
			t.Fatal("a device that was refused was written to")
		}
	}
	part := dropIn(t, "-output")
	u.restart("")
	refused("1.2.0", ": no such file or directory (hidden from otad? PrivateDevices= of its unit)")

	u.restart("-output")
	refused("1.2.1", "permission denied (does it belong to otad's group?)")

	u.Must("chgrp", "otad", slot.Path) // as udev does
	u.Must("chmod", "660", slot.Path)
	u.Write(otadUnit+".d/install.conf", strings.ReplaceAll(part, "\nDeviceAllow=", "\n#DeviceAllow="), 0o644)
	u.Must("systemctl", "daemon-reload")
	u.restart("")
	refused("1.2.2", "operation not permitted (is it in DeviceAllow= of otad's unit?)")

	u.restart("-output")
	u.post("u.img", "1.2.3", "slot-b")
	u.await("rebooting", "")
	u.rig.wantSlot("slot-b.img", "u.img")
	if got, want := u.Read("/var/lib/otad/handed-over"), "device="+path+" package="; got != want {
		t.Errorf("the command was given %q, want %q", got, want)
	}
}
