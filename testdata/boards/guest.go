package boards

import (
	"io"
	"os/exec"
	"path/filepath"
)

// Names that QEMU's user network gives: this machine's loopback as a guest sees
// it, and the guest itself.
const (
	HostLoopback = "10.0.2.2"
	GuestAddress = "10.0.2.15"
)

// Guest is a board under power.
type Guest struct {
	Console *Console
	qemu    *exec.Cmd
}

// Start runs QEMU with initrd as the first file system. The caller's args have
// to say how instructions are emulated (-accel), and what is behind the disk
// (-drive with id=disk) and the network (-netdev with id=net). The log gets what
// the guest prints, and is closed when it is gone.
func (m Machine) Start(initrd string, log io.WriteCloser, args ...string) (*Guest, error) {
	args = append([]string{"-M", m.board, "-cpu", m.CPU, "-m", "192", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", filepath.Join(m.folder, "kernel"), "-initrd", initrd,
		"-append", "quiet panic=-1 no_timer_check random.trust_cpu=on random.trust_bootloader=on console=" + m.console,
		"-device", "virtio-blk-" + m.bus + ",drive=disk",
		"-device", "virtio-net-" + m.bus + ",netdev=net",
		"-serial", "stdio"}, args...)
	g := &Guest{qemu: Child(m.qemu, args...)}
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

// Kill switches the board off, at once and without a word to it; a board that is
// off, or nil, stays so.
func (g *Guest) Kill() {
	if g != nil {
		Kill(g.qemu)
	}
}
