package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// slot is what the demo of a device writes to: a loop device where the user may
// make one, else a plain file.
type slot struct {
	path  string
	isExt bool // the image is an ext4, and the kernel can be asked to mount it
	free  func() error
}

const slotSize = size + 4*mib

// onDevice shows a package that goes straight to a partition: otad is killed
// twice, and the partition can be mounted only at the end.
func onDevice(ctx context.Context, otad, dir string) (err error) {
	began := time.Now()
	image, isExt, err := newImage(dir)
	if err != nil {
		return err
	}
	s, err := newSlot(dir, isExt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.free()) }()
	object := origintest.Object{Bytes: image, ETag: `"1"`, LastModified: time.Unix(1e9, 0)}
	origin, err := origintest.Start(origintest.Config{Object: object, Link: origintest.Link{BytesPerSecond: 2 * rate}})
	if err != nil {
		return err
	}
	defer origin.Close()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	say("slot", "%s, of %d MiB; the package is an image of %d MiB", s.path, slotSize/mib, len(image)/mib)
	p := &program{path: otad, args: otadrun.FetchArgs(state, object.MD5(), origin.URL(), "-output", s.path)}
	for i := range int64(2) {
		served, err := p.killWhen(ctx, origin.Reached((i+1)*size/3), origin.BytesServed)
		if err != nil {
			return err
		}
		say("SIGKILL", "after %.2f MiB were served", float64(served)/mib)
		if err := s.isNothing(dir); err != nil {
			return err
		}
	}
	if err := p.finish(ctx); err != nil {
		return err
	}
	if err := s.holds(dir, image); err != nil {
		return err
	}
	say("twice", "%d bytes (%.2f MiB)", origin.ServedTwice(), float64(origin.ServedTwice())/mib)
	if err := stateHolds(state, 1*mib); err != nil {
		return err
	}
	say("done", "%.1f s in all", time.Since(began).Seconds())
	return nil
}

// newImage returns an ext4 with a file in it, where mkfs.ext4 is installed, and
// else bytes that stand for one.
func newImage(dir string) (image []byte, isExt bool, err error) {
	content := filepath.Join(dir, "content")
	if err := os.Mkdir(content, 0o755); err != nil {
		return nil, false, err
	}
	path := filepath.Join(dir, "image")
	if _, err := otadrun.WritePackage(filepath.Join(content, "file"), size/2, "demo"); err != nil {
		return nil, false, err
	}
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		_, err = otadrun.WritePackage(path, size, "demo")
	} else {
		var out []byte
		out, err = exec.Command(mkfs, "-q", "-F", "-b", "4096", "-d", content, path, fmt.Sprint(size/mib, "M")).CombinedOutput()
		if isExt = err == nil; !isExt {
			err = fmt.Errorf("mkfs.ext4: %w: %s", err, out)
		}
	}
	if err != nil {
		return nil, false, err
	}
	image, err = os.ReadFile(path)
	return image, isExt, errors.Join(err, os.Remove(path), os.RemoveAll(content))
}

// newSlot makes a slot with an earlier content.
func newSlot(dir string, isExt bool) (*slot, error) {
	s := &slot{path: filepath.Join(dir, "slot"), free: func() error { return nil }}
	if _, err := otadrun.WritePackage(s.path, slotSize, "old"); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return s, nil
	}
	out, err := exec.Command("losetup", "-f", "--show", s.path).Output()
	if err != nil {
		say("slot", "no loop device here (%v): a plain file stands for one", err)
		return s, nil
	}
	s.path, s.isExt = strings.TrimSpace(string(out)), isExt
	s.free = func() error { return exec.Command("losetup", "-d", s.path).Run() }
	return s, nil
}

// isNothing returns an error if something can be mounted.
func (s *slot) isNothing(dir string) error {
	if s.isExt {
		if s.mount(dir) == nil {
			return errors.New("the slot mounts before the package is whole")
		}
		say("mount", "refused: nothing on the slot is a file system")
	}
	head, err := s.read(mib)
	if err == nil && !bytes.Equal(head, make([]byte, mib)) {
		err = errors.New("the slot has a head before the package is whole")
	}
	if err == nil && !s.isExt {
		say("head", "the first MiB of the slot is zero")
	}
	return err
}

// holds returns an error if the slot does not hold the image.
func (s *slot) holds(dir string, image []byte) error {
	got, err := s.read(len(image))
	if err == nil && !bytes.Equal(got, image) {
		err = errors.New("the slot does not hold the image")
	}
	if err == nil && s.isExt {
		if err = s.mount(dir); err == nil {
			say("mount", "mounted: the package is whole")
		}
	}
	return err
}

func (s *slot) mount(dir string) error {
	at := filepath.Join(dir, "mount")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(s.path, at, "ext4", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	return unix.Unmount(at, 0)
}

func (s *slot) read(n int) ([]byte, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	_, err = f.ReadAt(b, 0)
	return b, err
}

// stateHolds returns an error if the state directory has more than most bytes.
func stateHolds(dir string, most int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var sum int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		sum += info.Size()
	}
	say("staging", "%d KiB are left in the state directory", sum/1024)
	if sum > most {
		return fmt.Errorf("%d bytes are left in the state directory", sum)
	}
	return nil
}
