package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"otad/testdata/boards"
	"otad/testdata/otadrun"
)

// The guest's own files; the packages bring the rest.
//
//go:embed guest
var guestFiles embed.FS

// guestBoard runs otad in a QEMU guest whose disk is ours, over NBD. A cut is
// SIGKILL to QEMU. Most boots start from a snapshot of the guest's memory that
// was taken before the disk driver was loaded. That saves the seconds in which
// a kernel decompresses itself and detects hardware. Every tenth boot is a cold
// one.
type guestBoard struct {
	machine  boards.Machine
	fs       string
	dir      string
	socket   string // of the NBD server
	initrd   string
	snapshot string
	slot     string // socket of the NBD server of the second disk; empty: there is none
	guest    *boards.Guest
	boots    int
}

const (
	coldEvery    = 10
	guestBoot    = 120 * time.Second
	guestForward = "127.0.0.1:12316" // where the host reaches the guest's otad
	guestOtad    = boards.GuestAddress + ":12315"
)

// newGuestBoard builds the guest and takes the snapshot of its memory.
func newGuestBoard(ctx context.Context, o options, fs string, d *disk, slot *slot) (*guestBoard, error) {
	b := &guestBoard{machine: boards.MachineOf(o.board, o.cache), fs: fs, dir: o.dir,
		socket: filepath.Join(o.dir, "disk.sock"), initrd: filepath.Join(o.dir, "initrd"), snapshot: filepath.Join(o.dir, "memory")}
	if slot != nil {
		b.slot = filepath.Join(o.dir, "slot.sock")
	}
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
	if slot != nil {
		second, err := net.Listen("unix", b.slot)
		if err != nil {
			return nil, err
		}
		go serveNBD(second, slot.disk)
		slot.disk.powerOn(0)
		defer slot.disk.powerOff()
	}
	d.powerOn(0)
	defer d.powerOff()
	return b, b.takeSnapshot(ctx)
}

// archive returns the guest's first file system.
func (b *guestBoard) archive(otad string) ([]byte, error) {
	a, err := b.machine.FirstFileSystem()
	if err != nil {
		return nil, err
	}
	conf := fmt.Appendf(nil, "listen %s\nallow-http true\nmin-free 1MiB\ncallback-url http://%s/callback\n", guestOtad, b.host())
	for _, f := range tryFlags {
		conf = fmt.Appendf(conf, "%s %s\n", f.name, f.value)
	}
	if b.slot != "" {
		conf = fmt.Appendf(conf, "output %s=/dev/slot\n", slotName)
	}
	a.File("etc/otad.conf", conf)
	a.File("etc/passwd", []byte("root:x:0:0:root:/:/bin/sh\notad:x:990:990::/:/bin/false\n"))
	a.File("etc/group", []byte("root:x:0:\notad:x:990:\n"))
	for name, source := range map[string]string{"init": "init", "etc/inittab": "inittab", "etc/init.d/rcS": "rcS"} {
		content, err := guestFiles.ReadFile("guest/" + source)
		if err != nil {
			return nil, err
		}
		a.File(name, content)
	}
	for name, source := range map[string]string{"usr/bin/otad": otad, "etc/init.d/S90otad": "board/init/S90otad"} {
		if err := a.Copy(name, source); err != nil {
			return nil, err
		}
	}
	return a.Bytes(), nil
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
		if err := b.guest.Console.Wait(ctx, "waiting", nil); err != nil {
			return nil, err
		}
	}
	if err := b.guest.Console.Urge(ctx, "go "+checkpoint+" "+b.fs, "going"); err != nil {
		return nil, err
	}
	seen := &found{files: make(map[string]string)}
	listed := func(line string) {
		switch f := strings.Fields(line); {
		case len(f) == 3 && f[0] == "file":
			seen.files[f[1]] = f[2]
		case len(f) == 2 && f[0] == "xfs":
			mounts := f[1] == "mounts"
			seen.xfs = &mounts
		}
	}
	if err := b.guest.Console.Wait(ctx, "started", listed); err != nil {
		return nil, err
	}
	seen.otad = otadrun.NewClient(guestForward)
	return seen, nil
}

func (b *guestBoard) cut() (map[string]int64, error) {
	b.guest.Kill()
	b.guest = nil
	return nil, nil
}

// host returns QEMU's name for this machine's loopback.
func (b *guestBoard) host() string {
	_, port, _ := net.SplitHostPort(originAddress)
	return boards.HostLoopback + ":" + port
}

// start runs QEMU.
func (b *guestBoard) start(extra ...string) error {
	log, err := os.OpenFile(filepath.Join(b.dir, "console.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "---- boot %d\n", b.boots)
	if b.slot != "" {
		extra = append(extra, "-drive", "if=none,id=slot,format=raw,cache=writeback,file=nbd+unix:///?socket="+b.slot)
		extra = append(extra, b.machine.Disk("slot")...)
	}
	b.guest, err = b.machine.Start(b.initrd, log, append([]string{"-accel", "tcg,thread=multi",
		"-drive", "if=none,id=disk,format=raw,cache=writeback,file=nbd+unix:///?socket=" + b.socket,
		"-netdev", "user,id=net,hostfwd=tcp:" + guestForward + "-" + guestOtad}, extra...)...)
	return err
}

// takeSnapshot boots the guest until it waits for the rig, and writes its
// memory to a file.
func (b *guestBoard) takeSnapshot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, guestBoot)
	defer cancel()
	monitor := filepath.Join(b.dir, "monitor.sock")
	if err := b.start("-monitor", "unix:"+monitor+",server=on,wait=off"); err != nil {
		return err
	}
	defer b.cut()
	if err := b.guest.Console.Wait(ctx, "waiting", nil); err != nil {
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
