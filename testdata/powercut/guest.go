package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The guest's own files; the packages bring the rest.
//
//go:embed guest
var guestFiles embed.FS

// guestBoard runs otad in a QEMU guest whose disk is ours by NBD. A cut is
// SIGKILL to QEMU. Most boots begin from the guest's memory as it was just
// before its disk driver was loaded, which saves the seconds in which a kernel
// decompresses itself and looks for hardware; every tenth is a cold one.
type guestBoard struct {
	machine  machine
	fs       string
	cache    string // with this architecture's kernel
	dir      string
	socket   string // of the NBD server
	initrd   string
	snapshot string
	console  *console
	qemu     *exec.Cmd
	boots    int
}

// machine is what QEMU emulates for an architecture.
type machine struct {
	qemu    string
	args    []string
	bus     string // the suffix of virtio devices
	console string
}

func machineOf(arch string) machine {
	switch arch {
	case "arm64":
		return machine{"qemu-system-aarch64", []string{"-M", "virt", "-cpu", "cortex-a53"}, "device", "ttyAMA0"}
	case "armhf":
		return machine{"qemu-system-arm", []string{"-M", "virt,highmem=off", "-cpu", "cortex-a15"}, "device", "ttyAMA0"}
	default:
		return machine{"qemu-system-x86_64", []string{"-M", "q35", "-cpu", "max"}, "pci", "ttyS0"}
	}
}

const (
	coldEvery    = 10
	guestBoot    = 120 * time.Second
	guestForward = "127.0.0.1:12316" // where the host reaches the guest's otad
	guestOtad    = "10.0.2.15:12315"
)

// newGuestBoard puts the guest together and takes the snapshot of its memory.
func newGuestBoard(ctx context.Context, o options, fs string, d *disk) (*guestBoard, error) {
	b := &guestBoard{machine: machineOf(o.board), fs: fs, cache: filepath.Join(o.cache, o.board), dir: o.dir,
		socket: filepath.Join(o.dir, "disk.sock"), initrd: filepath.Join(o.dir, "initrd"), snapshot: filepath.Join(o.dir, "memory")}
	archive, err := b.archive(o.otad)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.initrd, archive, 0o600); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", b.socket)
	if err != nil {
		return nil, err
	}
	go serveNBD(l, d)
	d.powerOn(0)
	defer d.powerOff()
	return b, b.takeSnapshot(ctx)
}

// archive is the guest's first file system.
func (b *guestBoard) archive(otad string) ([]byte, error) {
	var c cpio
	for _, name := range []string{"bin", "dev", "etc", "etc/init.d", "modules", "proc", "run", "sys", "tmp", "usr", "usr/bin", "var", "var/lib", "var/run"} {
		c.folder(name)
	}
	c.file("etc/otad.conf", fmt.Appendf(nil, "listen %s\nallow-http true\nmin-free 1MiB\ncallback-url http://%s/callback\n", guestOtad, b.host()))
	for name, source := range map[string]string{"init": "init", "etc/inittab": "inittab", "etc/init.d/rcS": "rcS"} {
		content, err := guestFiles.ReadFile("guest/" + source)
		if err != nil {
			return nil, err
		}
		c.file(name, content)
	}
	files := map[string]string{"bin/busybox": filepath.Join(b.cache, "busybox"), "usr/bin/otad": otad, "etc/init.d/S90otad": "board/init/S90otad"}
	modules, _ := filepath.Glob(filepath.Join(b.cache, "modules", "*.ko"))
	for _, m := range modules {
		files["modules/"+filepath.Base(m)] = m
	}
	for name, source := range files {
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, fmt.Errorf("%w (run setup.sh?)", err)
		}
		c.file(name, content)
	}
	return c.bytes(), nil
}

func (b *guestBoard) boot(ctx context.Context, checkpoint string) (*found, error) {
	ctx, cancel := context.WithTimeout(ctx, guestBoot)
	defer cancel()
	b.boots++
	var extra []string
	if b.boots%coldEvery != 0 {
		extra = []string{"-incoming", "exec:cat '" + b.snapshot + "'"}
	}
	if err := b.start(extra...); err != nil {
		return nil, err
	}
	if extra == nil {
		if err := b.console.wait(ctx, "waiting", nil); err != nil {
			return nil, err
		}
	}
	if err := b.console.urge(ctx, "go "+checkpoint+" "+b.fs, "going"); err != nil {
		return nil, err
	}
	files := make(map[string]string)
	if err := b.console.wait(ctx, "started", files); err != nil {
		return nil, err
	}
	return &found{otad: newOtad("http://" + guestForward), files: files}, nil
}

func (b *guestBoard) cut() (map[string]int64, error) {
	kill(b.qemu)
	b.qemu = nil
	return nil, nil
}

// host is QEMU's name for this machine's loopback.
func (b *guestBoard) host() string {
	_, port, _ := net.SplitHostPort(originAddress)
	return "10.0.2.2:" + port
}

// start runs QEMU.
func (b *guestBoard) start(extra ...string) error {
	args := append([]string{"-accel", "tcg,thread=multi", "-m", "192", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", filepath.Join(b.cache, "kernel"), "-initrd", b.initrd,
		"-append", "quiet panic=-1 no_timer_check random.trust_cpu=on random.trust_bootloader=on console=" + b.machine.console,
		"-drive", "if=none,id=disk,format=raw,cache=writeback,file=nbd+unix:///?socket=" + b.socket,
		"-device", "virtio-blk-" + b.machine.bus + ",drive=disk",
		"-netdev", "user,id=net,hostfwd=tcp:" + guestForward + "-" + guestOtad,
		"-device", "virtio-net-" + b.machine.bus + ",netdev=net",
		"-serial", "stdio"}, b.machine.args...)
	b.qemu = child(b.machine.qemu, append(args, extra...)...)
	stdin, err := b.qemu.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := b.qemu.StdoutPipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(b.dir, "console.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "---- boot %d\n", b.boots)
	b.qemu.Stderr = log
	b.console = newConsole(stdin, stdout, log)
	return b.qemu.Start()
}

// takeSnapshot boots the guest up to the rig's word and writes its memory to a
// file.
func (b *guestBoard) takeSnapshot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, guestBoot)
	defer cancel()
	monitor := filepath.Join(b.dir, "monitor.sock")
	if err := b.start("-monitor", "unix:"+monitor+",server=on,wait=off"); err != nil {
		return err
	}
	defer b.cut()
	if err := b.console.wait(ctx, "waiting", nil); err != nil {
		return err
	}
	conn, err := net.Dial("unix", monitor)
	if err != nil {
		return err
	}
	defer conn.Close()
	// "migrate" answers when it is done, and only then is "quit" read.
	fmt.Fprintf(conn, "migrate_set_parameter max-bandwidth 8g\nmigrate \"exec:cat > '%s'\"\nquit\n", b.snapshot)
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return fmt.Errorf("take the snapshot: %w", err)
	}
	return nil
}
