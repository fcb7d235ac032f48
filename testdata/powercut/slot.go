package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"otad/testdata/otadrun"
)

// slot is a second disk, which the packages of a campaign go to: images of file
// systems. Both disks lose their power at the same moment, and each loses its own
// choice of unflushed writes. After each cut nothing can be mounted from the slot
// but what is whole.
type slot struct {
	disk   *disk
	images []image
	held   []byte // the last content that was known to be whole
	dir    string
	tries  [3]int // checks after a cut: nothing mounts, a package is whole, the old content is
	holds  string // file system of the whole image on the disk at the last power-on; "": there is none
	seen   [2]int // boots of a guest that has seen no xfs, and one

	writesPer int // as that of the campaign
}

// image is a package that can be mounted.
type image struct {
	kind string // of file system
	body []byte
}

const (
	slotSize = 20 << 20
	slotName = "slot" // in a request
)

// kindsHere are the file systems that this machine's kernel tries to mount.
var kindsHere = []string{"ext4", "squashfs", "erofs"}

// newSlot makes the images and a disk that holds the first of them. Those of xfs are
// for a guest alone: this machine's kernel has to outlive what is not whole of them.
func newSlot(dir, board string) (*slot, error) {
	s := &slot{dir: dir}
	kinds := kindsHere
	if board == "amd64" || board == "arm64" { // Debian's kernel for armhf has no xfs
		kinds = append([]string{"xfs"}, kinds...)
	}
	for i := range 2 * len(kinds) {
		kind := kinds[i%len(kinds)]
		body, err := newImage(dir, kind, fmt.Sprint(i))
		if err != nil {
			return nil, err
		}
		s.images = append(s.images, image{kind, body})
	}
	content := make([]byte, slotSize)
	copy(content, s.images[0].body)
	s.held = s.images[0].body
	s.disk = newDisk(content)
	s.disk.bare = true
	return s, nil
}

// newImage makes an image with one file in it.
func newImage(dir, kind, seed string) ([]byte, error) {
	content, path := filepath.Join(dir, "content"), filepath.Join(dir, "image")
	defer os.RemoveAll(content)
	defer os.Remove(path)
	if err := os.Mkdir(content, 0o755); err != nil {
		return nil, err
	}
	size := int64(2 << 20)
	if kind == "xfs" {
		size = 10 << 20 // up to the end: what is zero in two images is no proof of either
	}
	if _, err := otadrun.WritePackage(filepath.Join(content, "file"), size, seed); err != nil {
		return nil, err
	}
	// A file with the root and one file in it, which mkfs.xfs takes instead of a folder.
	proto := filepath.Join(dir, "proto")
	defer os.Remove(proto)
	if err := os.WriteFile(proto, fmt.Appendf(nil, "/\n0 0\nd--755 0 0\nfile ---644 0 0 %s/file\n$\n", content), 0o600); err != nil {
		return nil, err
	}
	mkfs := map[string][]string{
		"ext4":     {"mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", "-d", content, path, "5M"},
		"squashfs": {"mksquashfs", content, path, "-quiet", "-no-progress"},
		"erofs":    {"mkfs.erofs", "--quiet", path, content},
		"xfs":      {"mkfs.xfs", "--unsupported", "-q", "-d", "file,size=16m,name=" + path, "-p", proto}, // without that, 300 MB at least
	}[kind]
	if out, err := exec.Command(mkfs[0], mkfs[1:]...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %w: %s", mkfs, err, out)
	}
	return os.ReadFile(path)
}

// next returns the image of the n-th package.
func (s *slot) next(n int) image { return s.images[n%len(s.images)] }

// powerOn switches both disks on. One of them cuts the power of both: the disk of
// the state directory at its cutAt-th write, or the slot at a write of its own.
func (s *slot) powerOn(state *disk, cutAt int, rng *rand.Rand) <-chan struct{} {
	s.holds = ""
	for _, i := range s.images {
		if bytes.HasPrefix(s.disk.durable, i.body) {
			s.holds = i.kind
		}
	}
	slotCut := 0
	if cutAt > 0 && rng.IntN(2) == 0 {
		cutAt, slotCut = 0, 1+rng.IntN(2*max(1, s.writesPer))
	}
	s.disk.twin, state.twin = state, s.disk
	s.disk.powerOn(slotCut)
	return state.powerOn(cutAt)
}

// recordWrites updates the average of a download.
func (s *slot) recordWrites() {
	if s.writesPer == 0 {
		s.writesPer = s.disk.writesSeen()
	}
	s.writesPer += (s.disk.writesSeen() - s.writesPer) / 4
}

// check looks at the slot between a cut and the next boot.
func (s *slot) check(w *invariants) error {
	b := s.disk.durable
	if w.ready != nil {
		s.held = w.ready.body
	}
	switch {
	case w.job != nil && bytes.HasPrefix(b, w.job.body):
		s.tries[1]++
		return nil
	case bytes.HasPrefix(b, s.held):
		s.tries[2]++
		return nil
	case w.job == nil:
		return violated("the slot does not hold the package that was reported Ready")
	}
	s.tries[0]++
	for _, kind := range kindsHere {
		err := s.mount(kind, b)
		if err == nil {
			return violated("the slot mounts as %s and holds no whole package", kind)
		}
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EUCLEAN) && !errors.Is(err, unix.EIO) {
			return fmt.Errorf("try to mount the slot as %s: %w", kind, err)
		}
	}
	return nil
}

// checkGuest compares what a guest has seen at its boot, before otad: whether the disk
// can be mounted as xfs.
func (s *slot) checkGuest(xfs bool) error {
	switch {
	case xfs && s.holds != "xfs":
		return violated("the guest mounts the slot as xfs, and it holds no whole package of that kind")
	case !xfs && s.holds == "xfs":
		return violated("the guest does not mount the whole package of xfs")
	case xfs:
		s.seen[1]++
	default:
		s.seen[0]++
	}
	return nil
}

// checkImages returns an error if an image does not mount: the checks would be
// worth nothing.
func (s *slot) checkImages() error {
	for _, i := range s.images {
		if i.kind == "xfs" {
			continue // the first boot of the guest mounts it
		}
		if err := s.mount(i.kind, i.body); err != nil {
			return fmt.Errorf("an image does not mount: %w", err)
		}
	}
	return nil
}

func (s *slot) mount(kind string, content []byte) error {
	file, dir := filepath.Join(s.dir, "slot.img"), filepath.Join(s.dir, "slot.mount")
	if err := errors.Join(os.WriteFile(file, content, 0o600), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	backing, err := unix.Open(file, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(backing)
	loop, device, err := attach(backing)
	if err != nil {
		return err
	}
	defer unix.Close(loop)
	if err := unix.Mount(device, dir, kind, unix.MS_RDONLY, ""); err != nil {
		return err
	}
	return unix.Unmount(dir, 0)
}

// slotOnHost is the slot as this machine's kernel sees it.
type slotOnHost struct {
	file string // our disk
	link string // path of the device, the same at each boot
	loop int    // -1: not attached
}

func newSlotOnHost(dir string, s *slot) (*slotOnHost, error) {
	h := &slotOnHost{file: filepath.Join(dir, "slotdisk"), link: filepath.Join(dir, "slot"), loop: -1}
	if err := os.WriteFile(h.file, nil, 0o600); err != nil {
		return nil, err
	}
	return h, mountFUSE(h.file, s.disk)
}

// attach makes the device appear.
func (h *slotOnHost) attach() error {
	backing, err := unix.Open(h.file, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(backing)
	loop, device, err := attach(backing)
	if err != nil {
		return err
	}
	h.loop = loop
	if err := os.Remove(h.link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(device, h.link)
}

// detach makes the device vanish: it does with its last user.
func (h *slotOnHost) detach() {
	if h.loop >= 0 {
		unix.Close(h.loop)
		h.loop = -1
	}
}
