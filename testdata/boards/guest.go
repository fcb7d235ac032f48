package boards

import (
	"io"
	"os/exec"
	"path/filepath"

	"otad/testdata/otadrun"
)

// Names that QEMU's user network gives: this machine's loopback as a guest sees
// it, and the guest itself.
const (
	HostLoopback = "10.0.2.2"
	GuestAddress = "10.0.2.15"
)

// Guest is a running board.
type Guest struct {
	Console *Console
	qemu    *exec.Cmd
}

// Start runs QEMU with initrd as the first file system. The caller's args select
// the emulation (-accel), the disk (-drive with id=disk) and the network (-netdev
// with id=net). The console of the guest is copied to log, which is closed when
// QEMU ends.
func (m Machine) Start(initrd string, log io.WriteCloser, args ...string) (*Guest, error) {
	args = append([]string{"-M", m.board, "-cpu", m.CPU, "-m", "192", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", filepath.Join(m.folder, "kernel"), "-initrd", initrd,
		"-append", "quiet panic=-1 no_timer_check random.trust_cpu=on random.trust_bootloader=on console=" + m.console,
		"-device", "virtio-blk-" + m.bus + ",drive=disk,serial=disk",
		"-device", "virtio-net-" + m.bus + ",netdev=net",
		"-serial", "stdio"}, args...)
	g := &Guest{qemu: otadrun.Command(m.qemu, args...)}
	stdin, err := g.qemu.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := g.qemu.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.qemu.Stderr = log
	g.Console = newConsole(stdin, stdout, log)
	return g, g.qemu.Start()
}

// Kill kills QEMU, which cuts the guest's power, and waits for its end. It does
// nothing if QEMU does not run, or if g is nil.
func (g *Guest) Kill() {
	if g != nil && g.qemu.Process != nil {
		_ = g.qemu.Process.Kill() // the error reports that QEMU has ended
		_ = g.qemu.Wait()         // the error repeats how it has ended
	}
}

// Disk returns the arguments that connect one more disk, of a -drive with that id.
// Some guests number the disks backwards; the first one has the serial number "disk".
func (m Machine) Disk(id string) []string {
	return []string{"-device", "virtio-blk-" + m.bus + ",drive=" + id}
}
