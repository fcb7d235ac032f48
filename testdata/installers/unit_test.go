package installers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"otad/testdata/namespace"
	"otad/testdata/otadrun"
)

// example returns a file of board/init.
func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../board/init", name))
	check(t, err)
	return string(text)
}

// dropIn returns otad-install.conf with the lines of one installer taken in.
func dropIn(t *testing.T, script string) string {
	t.Helper()
	before, rest, ok := strings.Cut(example(t, "installers/otad-install.conf"), "# --- "+script+" ")
	if !ok {
		t.Fatalf("otad-install.conf has no part for %s", script)
	}
	part, after, _ := strings.Cut(rest, "\n# --- ")
	lines := strings.Split(part, "\n")
	for i, line := range lines {
		if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
			lines[i] = line[1:]
		}
	}
	return before + "# --- " + script + " " + strings.Join(lines, "\n") + "\n# --- " + after
}

// unit is otad under its unit, on a board with systemd.
type unit struct {
	*namespace.Board
	t      *testing.T
	rig    *rig // makes the packages, on this machine
	client *http.Client
}

const (
	otadUnit = "/etc/systemd/system/otad.service"
	api      = "http://127.0.0.1:12315"
)

// newUnit starts a board with otad's unit, the script as its installer, and what
// change adds to the board. The drop-in is not there yet.
func newUnit(t *testing.T, script string, change func(r *rig, s *namespace.Spec)) *unit {
	t.Helper()
	t.Parallel()
	r := newRig(t, script)
	s := namespace.Systemd(t)
	var err error
	s.Otad, err = otad()
	check(t, err)
	s.Files[otadUnit] = example(t, "otad.service")
	s.Files["/etc/otad.conf"] = "on-ready /usr/lib/otad/" + script + "\n"
	s.Copies["/usr/lib/otad/"+script] = r.command[len(r.command)-2]
	// The kernel's boot ID, for otad alone.
	s.Files["/etc/boot_id"] = "first\n"
	s.Files[otadUnit+".d/boot-id.conf"] = "[Service]\nBindReadOnlyPaths=/etc/boot_id:/proc/sys/kernel/random/boot_id\n"
	change(r, &s)
	u := &unit{Board: namespace.New(t, s), t: t, rig: r}
	u.client = u.Client()
	u.AwaitSystemd()
	return u
}

// post has otad download a package of the rig; straight to an output, unless that
// is "".
func (u *unit) post(name, version, output string) {
	u.t.Helper()
	var l net.Listener
	var err error
	u.InNetwork(func() { l, err = net.Listen("tcp", "127.0.0.1:0") })
	check(u.t, err)
	server := &http.Server{Handler: http.FileServer(http.Dir(u.rig.dir))}
	go server.Serve(l)
	u.t.Cleanup(func() { server.Close() })
	sum, err := otadrun.MD5(u.rig.file(name))
	check(u.t, err)
	size, err := otadrun.FileSize(u.rig.file(name))
	check(u.t, err)
	u.command("/api/v1.0/download", otadrun.Job{Version: version, URL: fmt.Sprintf("http://%s/%s", l.Addr(), name), Name: name, Size: size, MD5: sum, Output: output})
}

// command sends a command to otad, which takes one a second.
func (u *unit) command(path string, body any) {
	u.t.Helper()
	text, err := json.Marshal(body)
	check(u.t, err)
	var status string
	if err := otadrun.Await(patience, path, func() (bool, error) {
		resp, err := u.client.Post(api+path, "application/json", bytes.NewReader(text))
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		status = resp.Status
		return resp.StatusCode != http.StatusTooManyRequests, nil
	}); err != nil || !strings.HasPrefix(status, "200 ") {
		u.t.Fatalf("%s is answered by %s (%v)", path, status, err)
	}
}

// progress returns the stage, and the error or the message.
func (u *unit) progress() (stage, text string) {
	resp, err := u.client.Get(api + "/progress")
	if err != nil {
		return "", err.Error()
	}
	defer resp.Body.Close()
	var p struct {
		Data struct{ Stage, Message, Error string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		return "", err.Error()
	}
	if p.Data.Error != "" {
		return p.Data.Stage, p.Data.Error
	}
	return p.Data.Stage, p.Data.Message
}

// await waits until otad is in the stage, and says the text.
func (u *unit) await(stage, text string) {
	u.t.Helper()
	var last string
	if err := otadrun.Await(patience/3, stage, func() (bool, error) {
		s, got := u.progress()
		last = s + ": " + got
		return s == stage && strings.Contains(got, text), nil
	}); err != nil {
		log, _ := u.Run("journalctl", "-u", "otad", "--no-pager", "-o", "cat", "-n", "60")
		u.t.Fatalf("otad says %q, want %q: %q\n%s", last, stage, text, log)
	}
}

// restart starts otad again, with the drop-in for the script if it is not "".
func (u *unit) restart(script string) {
	u.t.Helper()
	if script != "" {
		u.Write(otadUnit+".d/install.conf", dropIn(u.t, script), 0o644)
		u.Must("systemctl", "daemon-reload")
	}
	u.Must("systemctl", "restart", "otad")
}

// reboot makes otad see another boot.
func (u *unit) reboot(id string) {
	u.t.Helper()
	u.Must("systemctl", "stop", "otad")
	u.Write("/etc/boot_id", id+"\n", 0o644)
	u.Must("systemctl", "start", "otad")
}

func TestUnitABCopy(t *testing.T) {
	var slots []namespace.Device
	u := newUnit(t, "ab-dd.sh", func(r *rig, s *namespace.Spec) {
		r.slots()
		for name, file := range map[string]string{"root-a": "slot-a.img", "root-b": "slot-b.img"} {
			slots = append(slots, loop(t, r.file(file), "/dev/disk/by-partlabel/"+name))
		}
		s.Devices = slots
		s.Folders = append(s.Folders, "/boot/otad")
		s.Files["/etc/cmdline.a"], s.Files["/etc/cmdline.b"] = "quiet root=PARTLABEL=root-a\n", "quiet root=PARTLABEL=root-b\n"
		s.Files["/etc/cmdline"] = s.Files["/etc/cmdline.a"]
		s.Files[otadUnit+".d/cmdline.conf"] = "[Service]\nBindReadOnlyPaths=/etc/cmdline:/proc/cmdline\n"
	})
	u.rig.image("u.img", 2<<20)
	u.rig.image("v.img", 2<<20)
	u.Must("chown", "otad:otad", "/boot/otad")
	for _, d := range slots { // as udev does
		u.Must("chgrp", "otad", d.Path)
		u.Must("chmod", "660", d.Path)
	}
	u.restart("")
	u.post("u.img", "1.2.2", "")
	u.await("failed", "INSTALL_FAILED: exit 1: ") // without the drop-in

	u.restart("ab-dd.sh")
	u.post("v.img", "1.2.3", "")
	u.await("rebooting", "")
	u.rig.wantSlot("slot-b.img", "v.img")
	if got := u.Read("/boot/otad/slot"); got != newB {
		t.Errorf("the flag is %q, want %q", got, newB)
	}
	u.Must("cp", "/etc/cmdline.b", "/etc/cmdline")
	u.reboot("second")
	u.await("success", "")
	if got := u.Read("/boot/otad/slot"); got != goodB {
		t.Errorf("the flag is %q, want %q", got, goodB)
	}
}

// loop makes a loop device of a file, which a board has as path.
func loop(t *testing.T, file, path string) namespace.Device {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=off", file).Output()
	check(t, err)
	name := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		check(t, otadrun.Await(patience, name+" is detached", func() (bool, error) { return exec.Command("losetup", "-d", name).Run() == nil, nil }))
	})
	var st unix.Stat_t
	check(t, unix.Stat(name, &st))
	return namespace.Device{Path: path, Type: unix.S_IFBLK, Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}
}

func TestUnitSWUpdate(t *testing.T) {
	u := newUnit(t, "swupdate.sh", func(r *rig, s *namespace.Spec) {
		r.swupdateFiles()
		r.image("rootfs", 2<<20)
		r.swu("u.swu", "rootfs", "/srv/slot-b.img", "1.0", "1.2.3")
		s.Files["/etc/group"] += "swupdate:x:992:\n"
		s.Files["/etc/sw-versions"] = "rootfs 1.0.0\n"
		s.Files["/etc/swupdate/cert.pem"] = r.read("cert.pem")
		s.Files["/etc/swupdate/conf.d/board"] = `SWUPDATE_ARGS="-k /etc/swupdate/cert.pem -H otad-board:1.0"` + "\n"
		s.Copies["/srv/slot-b.img"] = r.file("slot-b.img")
		s.Files["/etc/systemd/system/swupdate.socket.d/otad.conf"] = example(t, "installers/swupdate-socket.conf")
		s.Files["/etc/systemd/system/swupdate.service.d/otad.conf"] = example(t, "installers/swupdate-service.conf")
	})
	u.Must("systemctl", "start", "swupdate.socket")
	u.restart("")
	u.post("u.swu", "1.2.3", "")
	u.await("installing", "") // without the drop-in it tries again and again
	eventually(t, "the log says why", func() bool {
		log, _ := u.Run("journalctl", "-u", "otad", "--no-pager", "-o", "cat")
		return strings.Contains(log, "SWUpdate is busy, or does not answer at /run/swupdate")
	})
	u.restart("swupdate.sh")
	u.await("installing", "")                                            // the package was digested once more
	u.command("/api/v1.0/update", map[string]string{"version": "1.2.3"}) // at once
	u.await("rebooting", "")
	if got, want := u.rig.sha256("rootfs"), u.Must("sh", "-c", "head -c 2097152 /srv/slot-b.img | sha256sum | cut -d' ' -f1"); got != want {
		t.Errorf("the slot has the digest %s, want %s", got, want)
	}
	u.Write("/etc/sw-versions", "rootfs 1.2.3\n", 0o644)
	u.reboot("second")
	u.await("success", "")
}

func TestUnitRAUC(t *testing.T) {
	const override = "/etc/systemd/system/rauc.service.d/slot.conf"
	service := func(slot string) string {
		return "[Service]\nExecStart=\nExecStart=/usr/bin/rauc --mount=/run/rauc --override-boot-slot=" + slot + " service\n"
	}
	u := newUnit(t, "rauc.sh", func(r *rig, s *namespace.Spec) {
		r.raucFiles("")
		r.image("rootfs", 2<<20)
		r.bundle("u.raucb", "rootfs", "otad-board", "1.2.3")
		s.Files["/etc/passwd"] += "messagebus:x:993:993::/:/usr/sbin/nologin\n"
		s.Files["/etc/group"] += "messagebus:x:993:\n"
		delete(s.Links, "/etc/systemd/system/dbus.service")
		delete(s.Links, "/etc/systemd/system/dbus.socket")
		s.Files["/etc/dbus-1/system.d/otad-rauc.conf"] = example(t, "installers/otad-rauc.conf")
		s.Files["/etc/rauc/system.conf"] = strings.ReplaceAll(r.read("system.conf"), r.dir, "/srv")
		s.Files[override] = service("A")
		for _, name := range []string{"cert.pem", "bootloader.sh", "primary", "state.A", "state.B"} {
			s.Files["/srv/"+name] = r.read(name)
		}
		for _, name := range []string{"slot-a.img", "slot-b.img"} {
			s.Copies["/srv/"+name] = r.file(name)
		}
		// RAUC mounts a bundle by the first loop device that is free.
		s.Devices = append(s.Devices, namespace.Device{Path: "/dev/loop-control", Type: unix.S_IFCHR, Major: 10, Minor: 237})
		for i := range uint32(128) {
			s.Devices = append(s.Devices, namespace.Device{Path: fmt.Sprintf("/dev/loop%d", i), Type: unix.S_IFBLK, Major: 7, Minor: i})
		}
	})
	if out, code := u.Run("setpriv", "--reuid=1001", "--regid=1001", "--clear-groups", "rauc", "status"); code == 0 || !strings.Contains(out, "Rejected send message") {
		t.Errorf("a guest may ask RAUC: %s", out)
	}
	u.restart("rauc.sh")
	u.post("u.raucb", "1.2.3", "")
	u.await("rebooting", "")
	if got := u.Read("/srv/primary"); got != "B" {
		t.Errorf("the boot loader starts %q, want B", got)
	}
	u.Write(override, service("B"), 0o644)
	u.Must("systemctl", "daemon-reload")
	u.Must("systemctl", "restart", "rauc")
	u.reboot("second")
	u.await("success", "")
	if got := u.Read("/srv/state.B"); got != "good" {
		t.Errorf("the new slot is %q, want good", got)
	}
}

// The shipped drop-in changes nothing before a part of it is taken in.
func TestUnitDropInChangesNothing(t *testing.T) {
	for _, line := range strings.Split(example(t, "installers/otad-install.conf"), "\n") {
		if line != "" && line[0] != '#' && line != "[Service]" {
			t.Errorf("it sets %q", line)
		}
	}
}
