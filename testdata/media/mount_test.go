package media_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// needRoot skips a test that mounts.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
}

// mountTmpfs mounts a tmpfs of that size and returns its directory.
func mountTmpfs(t *testing.T, size string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+size); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

// unmount retries while children of other tests hold the files that are open:
// between fork and exec they have all of them.
func unmount(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "unmount "+dir, func() bool {
		err := unix.Unmount(dir, 0)
		if err != nil && err != unix.EBUSY {
			t.Fatalf("unmount %s: %v", dir, err)
		}
		return err == nil
	})
}

// image is an ext4 in a file on a tmpfs, mounted by a loop device.
type image struct {
	t    *testing.T
	disk string // directory of the tmpfs
	dir  string // where the ext4 is mounted
}

// newImage makes and mounts an ext4 of that many MiB, on a disk of that size.
func newImage(t *testing.T, mib int64, disk string, features ...string) *image {
	t.Helper()
	m := &image{t: t, disk: mountTmpfs(t, disk), dir: t.TempDir()}
	f, err := os.Create(m.file())
	check(t, err)
	defer f.Close()
	check(t, f.Truncate(mib<<20))
	must(t, "mkfs.ext4", append(append([]string{"-q", "-F", "-m", "0"}, features...), m.file())...)
	m.mount()
	t.Cleanup(func() { unmount(t, m.dir) })
	return m
}

func (m *image) file() string { return filepath.Join(m.disk, "image") }

// mount mounts the image. mount(8) finds a loop device, which is freed by the
// unmount.
func (m *image) mount() {
	m.t.Helper()
	must(m.t, "mount", "-o", "loop,errors=remount-ro", m.file(), m.dir)
}

// repair does the work of an administrator: unmount, check, mount. Nothing may
// use the file system.
func (m *image) repair() {
	m.t.Helper()
	unmount(m.t, m.dir)
	must(m.t, "sh", "-c", `e2fsck -fy "$1" >/dev/null; test $? -le 1`, "sh", m.file())
	m.mount()
}

// breaks makes ext4 find an error, after which it refuses every write
// (errors=remount-ro), as after a real error.
func (m *image) breaks() {
	m.t.Helper()
	var st unix.Stat_t
	check(m.t, unix.Stat(m.dir, &st))
	device, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	check(m.t, err)
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("test"), 0); err != nil {
		m.t.Skipf("no ext4 error can be triggered here: %v", err)
	}
}

// shutDown makes every call on the file system fail with EIO, as they do when the
// medium is gone.
func (m *image) shutDown() {
	m.t.Helper()
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN and its flag, fs/ext4/ext4.h
	dir, err := os.Open(m.dir)
	check(m.t, err)
	defer dir.Close()
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), shutdown, noLogFlush); err != nil {
		m.t.Fatalf("shut the file system down: %v", err)
	}
}

// fileSystems mounts file systems by name: a tmpfs of that size, and ext4 with 8
// MiB, once without the means to reserve space.
func fileSystems(tmpfs string) map[string]func(*testing.T) string {
	return map[string]func(*testing.T) string{
		"tmpfs":                func(t *testing.T) string { return mountTmpfs(t, tmpfs) },
		"ext4":                 func(t *testing.T) string { return newImage(t, 8, "16m").dir },
		"ext4 without extents": func(t *testing.T) string { return newImage(t, 8, "16m", "-O", "^extent,^64bit").dir },
	}
}

// filler is a file that fills the disk.
type filler string

// fill writes until the file system is full, and returns the file.
func fill(t *testing.T, dir string) filler {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	for _, step := range []int{1 << 20, 4096, 512} {
		for block := make([]byte, step); err == nil; {
			_, err = f.Write(block)
		}
		err = errors.Join(onlyFull(err), onlyFull(f.Sync()))
		check(t, err)
	}
	return filler(path)
}

func onlyFull(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}

// free removes the filler.
func (f filler) free(t *testing.T) {
	t.Helper()
	check(t, os.Remove(string(f)))
}
