// Package boards starts emulated boards: QEMU guests with Debian's kernel and
// BusyBox, which testdata/powercut/setup.sh downloads. The caller adds an /init
// and other files to the guest's first file system, and talks to the guest over
// the [Console].
package boards

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
)

// Machine is the machine that QEMU emulates for an architecture.
type Machine struct {
	CPU     string // QEMU's name of the processor
	folder  string // the files that setup.sh has downloaded
	qemu    string
	board   string // QEMU's -M
	bus     string // the suffix of virtio devices
	console string
}

// MachineOf returns the machine of an architecture, by Debian's name for it.
// Cache is the directory of setup.sh.
func MachineOf(arch, cache string) Machine {
	m := Machine{folder: filepath.Join(cache, arch), bus: "device", console: "ttyAMA0"}
	switch arch {
	case "arm64":
		m.qemu, m.board, m.CPU = "qemu-system-aarch64", "virt", "cortex-a53"
	case "armhf":
		m.qemu, m.board, m.CPU = "qemu-system-arm", "virt,highmem=off", "cortex-a15"
	default:
		m.qemu, m.board, m.CPU = "qemu-system-x86_64", "q35", "max"
		m.bus, m.console = "pci", "ttyS0"
	}
	return m
}

// DefaultCache returns the default directory of setup.sh for the guests.
func DefaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "otad-powercut")
}

// The guest's own files; the packages bring the rest.
//
//go:embed guest
var guestFiles embed.FS

// FirstFileSystem returns the part of the guest's first file system that every
// board needs: folders, BusyBox, the kernel's modules, and /etc/hardware, with
// which an /init begins.
func (m Machine) FirstFileSystem() (*Archive, error) {
	var a Archive
	for _, name := range []string{"bin", "dev", "etc", "etc/init.d", "modules", "proc", "run", "sys", "tmp", "usr", "usr/bin", "var", "var/lib", "var/run"} {
		a.Folder(name)
	}
	hardware, err := guestFiles.ReadFile("guest/hardware")
	if err != nil {
		return nil, err
	}
	a.File("etc/hardware", hardware)
	files := map[string]string{"bin/busybox": filepath.Join(m.folder, "busybox")}
	modules, _ := filepath.Glob(filepath.Join(m.folder, "modules", "*.ko"))
	for _, module := range modules {
		files["modules/"+filepath.Base(module)] = module
	}
	for name, source := range files {
		if err := a.Copy(name, source); err != nil {
			return nil, fmt.Errorf("%w (run setup.sh?)", err)
		}
	}
	return &a, nil
}
