package slots

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// must runs a program and returns its output.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// newLoop attaches a new file of that size to a loop device.
func newLoop(t *testing.T, size int64, block int) (device, file string) {
	t.Helper()
	if os.Geteuid() != 0 || testing.Short() {
		t.Skip("needs root, for a loop device, and no -short")
	}
	if _, err := exec.LookPath("losetup"); err != nil {
		t.Skip(err)
	}
	file = newPlainFile(t, size)
	return attach(t, file, "-b", fmt.Sprint(block)), file
}

// attach attaches the file to a free loop device until the end of the test.
func attach(t *testing.T, file string, flags ...string) string {
	t.Helper()
	t.Cleanup(func() { detach(t, file) })
	return must(t, "losetup", append([]string{"-f", "--show"}, append(flags, file)...)...)
}

// detach frees the loop devices of the file. It goes by the file: the number of a
// free device is soon another program's.
func detach(t *testing.T, file string) {
	t.Helper()
	for line := range strings.Lines(must(t, "losetup", "-j", file)) {
		device, _, _ := strings.Cut(line, ":")
		must(t, "losetup", "-d", device)
	}
}

// linkTo makes the link at path lead to the device.
func linkTo(t *testing.T, path, device string) {
	t.Helper()
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		check(t, err)
	}
	check(t, os.Symlink(device, path))
}

// newImage returns an image of a kind with a file in it.
func newImage(t *testing.T, kind string, seed string) []byte {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	check(t, os.WriteFile(filepath.Join(dir, "content"), noise(t, 20*mib, seed), 0o600))
	var make []string
	switch kind {
	case "ext4":
		make = []string{"mkfs.ext4", "-q", "-F", "-b", "4096", "-d", dir, image, "32M"}
	case "squashfs":
		make = []string{"mksquashfs", dir, image, "-quiet", "-no-progress", "-noI", "-noD"}
	case "erofs":
		make = []string{"mkfs.erofs", "--quiet", image, dir}
	}
	if _, err := exec.LookPath(make[0]); err != nil {
		t.Skip(err)
	}
	must(t, make[0], make[1:]...)
	b, err := os.ReadFile(image)
	check(t, err)
	return b
}

// mounts reports whether the kernel mounts the device.
func mounts(t *testing.T, device, kind string) bool {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount(device, dir, kind, unix.MS_RDONLY, "")
	if err == nil {
		check(t, unix.Unmount(dir, 0))
	}
	return err == nil
}

func TestSlotMountsOnlyAtTheEnd(t *testing.T) {
	for _, kind := range []string{"ext4", "squashfs", "erofs"} {
		for _, block := range []int{512, 4096} {
			if block == 4096 && kind == "squashfs" {
				continue // its blocks are of 1024 bytes for the kernel
			}
			t.Run(fmt.Sprint(kind, " on blocks of ", block), func(t *testing.T) {
				device, _ := newLoop(t, 48*mib, block)
				old, image := newImage(t, kind, "old"), newImage(t, kind, "new")
				put := func(b []byte) {
					f, err := os.OpenFile(device, os.O_RDWR, 0)
					check(t, err)
					_, err = f.WriteAt(b, 0)
					check(t, errors.Join(err, f.Sync(), f.Close()))
				}
				put(old)
				if !mounts(t, device, kind) {
					t.Fatal("the old content does not mount: nothing is tested")
				}
				b := newBoard(t, device, image)
				for i := range 2 {
					b.killed(i+1, 4*mib)
					if mounts(t, device, kind) {
						t.Errorf("it mounts after kill %d", i+1)
					}
					if out, err := exec.Command("blkid", "-p", device).CombinedOutput(); err == nil {
						t.Errorf("blkid after kill %d: %s", i+1, out)
					}
				}
				b.ready("-readback")
				if !mounts(t, device, kind) {
					t.Error("it does not mount at the end")
				}
				requests := len(b.origin.Requests())
				b.ready()
				if n := len(b.origin.Requests()); n != requests {
					t.Error("a request for a package that is there")
				}
				put([]byte("overwritten"))
				b.ready()
				if n := len(b.origin.Requests()); n != requests+1 {
					t.Errorf("%d requests after it was written over", n-requests)
				}
			})
		}
	}
}

func TestMountedSlotIsRefused(t *testing.T) {
	device, _ := newLoop(t, 48*mib, 512)
	must(t, "mkfs.ext4", "-q", "-F", device)
	dir := t.TempDir()
	check(t, unix.Mount(device, dir, "ext4", 0, ""))
	defer unix.Unmount(dir, 0)
	b := newBoard(t, device, noise(t, 5*mib, "new"))
	if r := b.fetch(); r.Code != 1 || !strings.Contains(r.Stderr, device+" is in use: mounted at "+dir) {
		t.Errorf("ended with %d: %s", r.Code, r.LastLine())
	}
	if len(b.origin.Requests()) != 0 {
		t.Error("a request was made")
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "u.img*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestFileBehindALoopDeviceIsRefused(t *testing.T) {
	device, file := newLoop(t, 8*mib, 512)
	b := newBoard(t, file, noise(t, 5*mib, "new"))
	if r := b.fetch(); r.Code != 1 || !strings.Contains(r.Stderr, "is in use: attached to "+filepath.Base(device)) {
		t.Errorf("ended with %d: %s", r.Code, r.LastLine())
	}
}

func TestOtherDeviceUnderTheSameNameIsRefused(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, link, device, file string){
		"is on the disk": func(t *testing.T, link, _, _ string) {
			linkTo(t, link, attach(t, newPlainFile(t, 40*mib)))
		},
		"has 36700160 bytes and had 41943040": func(t *testing.T, _, device, file string) {
			check(t, os.Truncate(file, 35*mib))
			must(t, "losetup", "-c", device)
		},
	} {
		t.Run(name, func(t *testing.T) {
			device, file := newLoop(t, 40*mib, 512)
			link := filepath.Join(t.TempDir(), "by-name")
			linkTo(t, link, device)
			b := newBoard(t, link, noise(t, 30*mib, "new"))
			b.killed(1, 9*mib)
			change(t, link, device, file)
			before := b.read(35 * mib)
			if r := b.fetch(); r.Code != 1 || !strings.Contains(r.Stderr, name) {
				t.Errorf("ended with %d: %s", r.Code, r.LastLine())
			}
			if string(before) != string(b.read(35*mib)) {
				t.Error("it was written to")
			}
		})
	}
}

// The same disk with another number is the same disk.
func TestDeviceIsKnownAgainAfterItWasAttachedAnew(t *testing.T) {
	device, file := newLoop(t, 40*mib, 512)
	link := filepath.Join(t.TempDir(), "by-name")
	linkTo(t, link, device)
	b := newBoard(t, link, noise(t, 30*mib, "new"))
	b.killed(1, 9*mib)
	detach(t, file)
	attach(t, newPlainFile(t, mib)) // which has the old number, if nobody else has
	linkTo(t, link, attach(t, file))
	b.ready()
	if r := b.origin.Requests(); len(r) != 2 || r[1].Start == 0 {
		t.Errorf("it started over: %+v", r)
	}
}
