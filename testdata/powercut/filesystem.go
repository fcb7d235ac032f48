package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystem is the file system of a board's disk.
type fileSystem struct {
	name string
	size int64 // of the disk: small, so that a leak of space shows within one campaign
	mkfs []string
	fsck []string // finds damage and repairs nothing; nil: there is no such program
	// tears reports whether the file system survives blocks that are torn
	// between sectors. The others require that blocks of 4 KiB are written
	// whole.
	tears bool
	// retriesForever reports whether the file system goes on writing to a disk
	// without power for ever. A cut during a mount would then hang the kernel
	// of the host, which could not even be shut down.
	retriesForever bool
}

// fileSystems are those of boards. The promises of otad hold on all of them but
// vfat. A rename is not atomic there: a cut can leave neither name, or both
// with the same bytes. vfat is here to show that.
func fileSystems() []fileSystem {
	return []fileSystem{
		{name: "ext4", size: 48 << 20, tears: true, fsck: []string{"e2fsck", "-fn"},
			mkfs: []string{"mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0"}},
		{name: "f2fs", size: 96 << 20, mkfs: []string{"mkfs.f2fs", "-q"}},
		{name: "xfs", size: 300 << 20, tears: true, retriesForever: true, mkfs: []string{"mkfs.xfs", "-q"}},
		{name: "btrfs", size: 128 << 20, mkfs: []string{"mkfs.btrfs", "-q", "-m", "single"}},
		{name: "vfat", size: 48 << 20, tears: true, mkfs: []string{"mkfs.vfat"}},
	}
}

func fileSystemOf(name string) (fileSystem, error) {
	all := fileSystems()
	i := slices.IndexFunc(all, func(f fileSystem) bool { return f.name == name })
	if i < 0 {
		return fileSystem{}, fmt.Errorf("no such file system: %s", name)
	}
	return all[i], nil
}

// format returns an empty disk.
func (f fileSystem) format(dir string) ([]byte, error) {
	image := filepath.Join(dir, "fresh.img")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(image)
	if err := os.Truncate(image, f.size); err != nil {
		return nil, err
	}
	mkfs := exec.Command(f.mkfs[0], append(f.mkfs[1:], image)...)
	if out, err := mkfs.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %w: %s", mkfs, err, out)
	}
	return os.ReadFile(image)
}

// known reports whether this machine's kernel can mount the file system.
func (f fileSystem) known() bool {
	list, err := os.ReadFile("/proc/filesystems")
	return err == nil && slices.Contains(strings.Fields(string(list)), f.name)
}

// read mounts a disk that no machine uses any more, returns the digests of
// otad's files, and runs fsck.
func (f fileSystem) read(dir string, disk []byte) (map[string]string, error) {
	image, mount := filepath.Join(dir, "last.img"), filepath.Join(dir, "last")
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		return nil, err
	}
	if err := os.Mkdir(mount, 0o755); err != nil {
		return nil, err
	}
	if err := f.mount(image, mount); err != nil {
		return nil, err
	}
	files, err := digests(filepath.Join(mount, stateFolder))
	if unmountErr := unix.Unmount(mount, 0); err == nil {
		err = unmountErr
	}
	if err != nil || f.fsck == nil {
		return files, err
	}
	fsck := exec.Command(f.fsck[0], append(f.fsck[1:], image)...)
	if out, err := fsck.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %w: %s", fsck, err, out)
	}
	return files, nil
}

// mount mounts the image in file at dir. The loop device goes away with the
// mount, however that ends.
func (f fileSystem) mount(file, dir string) error {
	backing, err := unix.Open(file, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer unix.Close(backing)
	loop, device, err := attach(backing)
	if err != nil {
		return err
	}
	defer unix.Close(loop)
	if err := unix.Mount(device, dir, f.name, unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", f.name, device, err)
	}
	return nil
}

// attach connects a free loop device to the open file backing. The device
// exists while it is in use.
func attach(backing int) (loop int, device string, err error) {
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("open /dev/loop-control: %w", err)
	}
	defer unix.Close(control)
	for {
		number, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return -1, "", fmt.Errorf("find a loop device: %w", err)
		}
		device = fmt.Sprintf("/dev/loop%d", number)
		loop, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, "", fmt.Errorf("open %s: %w", device, err)
		}
		err = unix.IoctlLoopConfigure(loop, &unix.LoopConfig{Fd: uint32(backing), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}})
		if err == nil {
			return loop, device, nil
		}
		unix.Close(loop)
		if err != unix.EBUSY { // EBUSY: another process took this device first
			return -1, "", fmt.Errorf("attach %s: %w", device, err)
		}
	}
}
