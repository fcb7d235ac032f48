package storage_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"otad/board/storage"
)

const head = storage.HeadSize

// slotRig is a state directory and a plain file that stands for a device, full of
// an earlier package.
type slotRig struct {
	t     *testing.T
	dir   *storage.StateDir
	slots *storage.Slots
	path  string // of the device
	old   []byte // its content
	image []byte // longer than the head, with an odd end
}

func newSlotRig(t *testing.T) *slotRig {
	t.Helper()
	d, err := storage.OpenStateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	r := &slotRig{t: t, dir: d, path: filepath.Join(t.TempDir(), "slot"), old: noise(1, 2*head), image: noise(2, head+300_001)}
	if err := os.WriteFile(r.path, r.old, 0o600); err != nil {
		t.Fatal(err)
	}
	r.slots = storage.NewSlots(d, r.path)
	return r
}

// noise returns bytes without a zero.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return bytes.ReplaceAll(b, []byte{0}, []byte{1})
}

func (r *slotRig) open() *storage.Slot {
	r.t.Helper()
	s, err := r.slots.OpenPartial("u.img", r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { s.Close() })
	return s
}

func (r *slotRig) check(errs ...error) {
	r.t.Helper()
	if err := errors.Join(errs...); err != nil {
		r.t.Fatal(err)
	}
}

// put writes the package from an offset on, in blocks.
func (r *slotRig) put(s *storage.Slot, from int) {
	r.t.Helper()
	for at := from; at < len(r.image); {
		n := min(300_000, len(r.image)-at)
		_, err := s.WriteAt(r.image[at:at+n], int64(at))
		r.check(err)
		at += n
	}
	r.check(s.Sync())
}

// written makes the package whole and closes it.
func (r *slotRig) written() {
	r.t.Helper()
	s := r.open()
	r.put(s, 0)
	r.check(s.Publish(int64(len(r.image))), s.Close())
}

func (r *slotRig) content() []byte {
	r.t.Helper()
	b, err := os.ReadFile(r.path)
	r.check(err)
	return b
}

func (r *slotRig) hasNoHead() {
	r.t.Helper()
	if b := r.content()[:head]; !bytes.Equal(b, make([]byte, head)) {
		r.t.Error("the device has a head")
	}
}

func (r *slotRig) isWhole() bool { return bytes.HasPrefix(r.content(), r.image) }

func (r *slotRig) names() string { return list(r.t, r.dir.Path()) }

func TestDeviceIsUntouchedUntilTheFirstByte(t *testing.T) {
	r := newSlotRig(t)
	s := r.open()
	r.check(s.Truncate(0), s.Reserve(int64(len(r.image)), 0), s.Sync())
	if size, err := s.Size(); size != 0 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	r.check(s.Close())
	if !bytes.Equal(r.content(), r.old) {
		t.Error("the device was changed")
	}
	if names := r.names(); strings.Contains(names, "otad-slot") {
		t.Errorf("a record of nothing: %s", names)
	}
}

func TestHeadComesLast(t *testing.T) {
	r := newSlotRig(t)
	s := r.open()
	r.put(s, 0)
	r.hasNoHead()
	got := make([]byte, len(r.image))
	if n, err := s.ReadAt(got, 0); n != len(got) || err != nil || !bytes.Equal(got, r.image) {
		t.Fatalf("read %d bytes, %v, or other ones", n, err)
	}
	r.check(s.Publish(int64(len(r.image))))
	if !r.isWhole() {
		t.Error("the device does not hold the package")
	}
	if !bytes.Equal(r.content()[len(r.image):], r.old[len(r.image):]) {
		t.Error("bytes behind the package were changed")
	}
	if names := r.names(); strings.Contains(names, "otad-part") || !strings.Contains(names, "u.img.otad-slot") {
		t.Errorf("the state directory has %s", names)
	}
	if s.Doubtful() {
		t.Error("what was just written is doubtful")
	}
}

func TestDownloadGoesOnWhereItWas(t *testing.T) {
	for name, cut := range map[string]int{"in the head": 1000, "at the head's end": head, "behind it": head + 123_457} {
		t.Run(name, func(t *testing.T) {
			r := newSlotRig(t)
			s := r.open()
			_, err := s.WriteAt(r.image[:cut], 0)
			r.check(err, s.Sync(), s.Close())
			s = r.open()
			size, err := s.Size()
			if err != nil || size < int64(cut) {
				t.Fatalf("%d bytes, %v: want %d", size, err, cut)
			}
			r.check(s.Truncate(int64(cut)))
			r.put(s, cut)
			r.hasNoHead()
			r.check(s.Publish(int64(len(r.image))))
			if !r.isWhole() {
				t.Error("the device does not hold the package")
			}
		})
	}
}

func TestPackageSmallerThanTheHead(t *testing.T) {
	for _, size := range []int{1, 511, 512, 513, 4096, 5000, head - 1, head} {
		r := newSlotRig(t)
		r.image = r.image[:size]
		r.written()
		if !r.isWhole() {
			t.Errorf("%d bytes are not whole", size)
		}
	}
}

// A cut after the head and before its record: no record says that the package is
// whole, so it loses the head until it is published again.
func TestHeadWithoutItsRecordGoes(t *testing.T) {
	r := newSlotRig(t)
	s := r.open()
	r.put(s, 0)
	cut, cuts := errors.New("cut"), true
	r.dir.Watch(func(call string) error {
		if cuts && strings.HasPrefix(call, "rename ") {
			return cut
		}
		return nil
	})
	if err := s.Publish(int64(len(r.image))); !errors.Is(err, cut) || !r.isWhole() {
		t.Fatalf("published with %v", err)
	}
	r.check(s.Close())
	cuts = false
	s = r.open()
	r.hasNoHead()
	r.check(s.Publish(int64(len(r.image))))
	if !r.isWhole() {
		t.Error("the second try is not whole")
	}
}

func TestWrittenOverIsDoubtful(t *testing.T) {
	r := newSlotRig(t)
	r.written()
	stat := func() fs.FileInfo {
		f, err := r.slots.Published("u.img", r.path)
		r.check(err)
		defer f.Close()
		info, err := f.Stat()
		r.check(err)
		return info
	}
	first := stat()
	if again := stat(); !again.ModTime().Equal(first.ModTime()) || first.Size() != int64(len(r.image)) {
		t.Errorf("%v is not %v", again, first)
	}
	f, err := os.OpenFile(r.path, os.O_RDWR, 0)
	r.check(err)
	_, err = f.WriteAt([]byte("x"), head+5)
	r.check(err, f.Close())
	if info := stat(); os.SameFile(first, info) || info.ModTime().Equal(first.ModTime()) {
		t.Error("believed although it was written over")
	}
	s := r.open()
	if !s.Doubtful() {
		t.Error("it is not doubtful")
	}
	r.check(s.Trust())
	if s.Doubtful() {
		t.Error("it is doubtful after its digest was compared")
	}
}

// A package that was whole and is given up stays as it is until the first byte of
// another one.
func TestGivenUpPackageStaysUntilTheFirstByte(t *testing.T) {
	r := newSlotRig(t)
	r.written()
	s := r.open()
	r.check(s.Truncate(0))
	if size, _ := s.Size(); size != 0 || !r.isWhole() {
		t.Errorf("%d bytes are left, whole: %v", size, r.isWhole())
	}
	_, err := s.WriteAt(r.image[:10], 0)
	r.check(err)
	r.hasNoHead()
}

func TestPackageThatLostABlockLosesItsHead(t *testing.T) {
	r := newSlotRig(t)
	r.written()
	s := r.open()
	r.check(s.Truncate(head + 1000))
	r.hasNoHead()
	got := make([]byte, head+1000)
	if _, err := s.ReadAt(got, 0); err != nil || !bytes.Equal(got, r.image[:len(got)]) {
		t.Errorf("what is left is not the package's: %v", err)
	}
	r.put(s, head+1000)
	r.check(s.Publish(int64(len(r.image))))
	if !r.isWhole() {
		t.Error("it is not whole again")
	}
}

func TestReleaseZeroesWhatIsNotWhole(t *testing.T) {
	begun := func(r *slotRig) {
		s := r.open()
		r.put(s, 0)
		r.check(s.Close())
		f, err := os.OpenFile(r.path, os.O_RDWR, 0) // a head, as a cut before its record leaves it
		r.check(err)
		_, err = f.WriteAt(r.image[:head], 0)
		r.check(err, f.Close())
	}
	for name, tt := range map[string]struct {
		before  func(r *slotRig)
		zeroed  bool
		release func(r *slotRig) error
	}{
		"begun":              {begun, true, nil},
		"whole":              {(*slotRig).written, false, nil},
		"nothing":            {func(*slotRig) {}, false, nil},
		"not allowed":        {begun, false, func(r *slotRig) error { return storage.NewSlots(r.dir).Release("u.img") }},
		"another file there": {func(r *slotRig) { begun(r); replaceFile(r) }, false, nil},
		"in use": {begun, false, func(r *slotRig) error {
			other, err := storage.OpenStateDir(r.t.TempDir())
			r.check(err)
			s, err := storage.NewSlots(other, r.path).OpenPartial("o.img", r.path)
			r.check(err)
			defer s.Close()
			return r.slots.Release("u.img")
		}},
		"gone": {func(r *slotRig) { begun(r); r.check(os.Rename(r.path, r.path+".away")) }, false, func(r *slotRig) error {
			defer os.Rename(r.path+".away", r.path)
			return r.slots.Release("u.img")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newSlotRig(t)
			tt.before(r)
			before := r.contentOf()
			release := tt.release
			if release == nil {
				release = func(r *slotRig) error { return r.slots.Release("u.img") }
			}
			r.check(release(r))
			if strings.Contains(r.names(), "otad-slot") {
				t.Error("the record stays")
			}
			if tt.zeroed {
				r.hasNoHead()
			} else if !bytes.Equal(before, r.content()) {
				t.Error("the device was changed")
			}
		})
	}
}

// contentOf is content, also while the file is away.
func (r *slotRig) contentOf() []byte {
	b, err := os.ReadFile(r.path)
	if err != nil {
		b, err = os.ReadFile(r.path + ".away")
	}
	r.check(err)
	return b
}

// replaceFile puts another file of the same size and content in place.
func replaceFile(r *slotRig) {
	r.check(os.WriteFile(r.path+".new", r.content(), 0o600), os.Rename(r.path+".new", r.path))
}

func TestTooSmallDeviceIsFoundBeforeTheFirstByte(t *testing.T) {
	r := newSlotRig(t)
	s := r.open()
	err := s.Reserve(2*head+1, 0)
	var small *storage.DeviceSizeError
	if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &small) || small.Need != 2*head+1 || small.Free != 2*head || !small.Fixed() {
		t.Errorf("reserved with %v", err)
	}
	r.check(s.Reserve(2*head, 0))
}

func TestUnfitPathIsRefused(t *testing.T) {
	r := newSlotRig(t)
	other := filepath.Join(t.TempDir(), "other")
	inside := filepath.Join(r.dir.Path(), "u.bin")
	r.check(os.WriteFile(other, nil, 0o600), os.WriteFile(inside, nil, 0o600))
	held, err := os.Open(other)
	r.check(err)
	defer held.Close()
	r.check(syscall.Flock(int(held.Fd()), syscall.LOCK_SH))
	for path, want := range map[string]string{
		"/dev/null":             "is neither a block device nor a plain file",
		t.TempDir():             "is neither a block device nor a plain file",
		"/dev/no-such-device":   "cannot be opened: no such file or directory (hidden from otad? PrivateDevices= of its unit)",
		inside:                  "is in the state directory, where otad's own files are",
		other:                   "is in use: another program has locked it",
		r.path + "/not-a-fiile": "cannot be opened: not a directory",
	} {
		_, err := storage.NewSlots(r.dir, path).OpenPartial("u.img", path)
		var unfit *storage.UnfitError
		if !errors.As(err, &unfit) || err.Error() != path+" "+want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	_, err = r.slots.OpenPartial("u.img", other)
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("opened although it is not among the outputs: %v", err)
	}
	if names := r.names(); strings.Contains(names, "u.img") {
		t.Errorf("refused ones left %s", names)
	}
}

func TestAnotherDeviceIsRefused(t *testing.T) {
	for name, change := range map[string]func(r *slotRig){
		"is another file":                   replaceFile,
		"has 1500000 bytes and had 2097152": func(r *slotRig) { r.check(os.Truncate(r.path, 1_500_000)) },
		"cannot be opened: no such file":    func(r *slotRig) { r.check(os.Remove(r.path)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newSlotRig(t)
			s := r.open()
			r.put(s, 0)
			r.check(s.Close())
			change(r)
			before, _ := os.ReadFile(r.path)
			_, err := r.slots.OpenPartial("u.img", r.path)
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("opened with %v", err)
			}
			if after, _ := os.ReadFile(r.path); !bytes.Equal(before, after) {
				t.Error("the other device was changed")
			}
		})
	}
}

// The name is the old job's, the device another one: the old device loses what it
// has of the job.
func TestOtherDeviceForTheSameName(t *testing.T) {
	r := newSlotRig(t)
	s := r.open()
	r.put(s, 0)
	r.check(s.Close())
	first := r.path
	r.path = filepath.Join(t.TempDir(), "second")
	r.check(os.WriteFile(r.path, r.old, 0o600))
	r.slots = storage.NewSlots(r.dir, first, r.path)
	r.written()
	if !r.isWhole() {
		t.Error("the second device does not hold the package")
	}
	r.path = first
	r.hasNoHead()
}

func TestDamagedRecordCountsAsNone(t *testing.T) {
	r := newSlotRig(t)
	s := r.open()
	r.put(s, 0)
	r.check(s.Close())
	record := filepath.Join(r.dir.Path(), "u.img.otad-slot")
	whole, err := os.ReadFile(record)
	r.check(err)
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 4
		r.check(os.WriteFile(record, damaged, 0o600))
		s := r.open()
		if size, err := s.Size(); size != 0 || err != nil {
			t.Fatalf("with byte %d damaged: %d bytes, %v", i, size, err)
		}
		r.check(s.Close())
	}
}

func TestHeadThatTheDeviceLosesIsFoundByReadback(t *testing.T) {
	for name, readback := range map[string]bool{"read back": true, "not read back": false} {
		t.Run(name, func(t *testing.T) {
			r := newSlotRig(t)
			s := r.open()
			r.put(s, 0)
			if readback {
				r.check(s.DropCache())
			}
			lost := false
			r.dir.SetWriteDirect(func(_ *os.File, b []byte, offset int64) (int, error) {
				lost = lost || offset < head
				return len(b), nil
			})
			err := s.Publish(int64(len(r.image)))
			if !lost {
				t.Skip("no direct writes here")
			}
			if (err != nil) != readback {
				t.Errorf("published with %v", err)
			}
		})
	}
}

// An answer that takes over is stored behind the package's end first. As in a file,
// what is behind a short head counts.
func TestBytesBehindThePackage(t *testing.T) {
	r := newSlotRig(t)
	s := r.open()
	_, err := s.WriteAt(r.image[:1000], 0)
	r.check(err)
	_, err = s.WriteAt(r.image[:5000], head+512<<10)
	r.check(err, s.Sync(), s.Close())
	s = r.open()
	got := make([]byte, 5000)
	_, err = s.ReadAt(got, head+512<<10)
	size, sizeErr := s.Size()
	if err != nil || sizeErr != nil || !bytes.Equal(got, r.image[:5000]) || size < head+512<<10+5000 {
		t.Errorf("%d bytes are there, %v, %v", size, err, sizeErr)
	}
	r.check(s.Truncate(1000))
	if size, err := s.Size(); size != 1000 || err != nil {
		t.Errorf("cut to %d bytes, %v", size, err)
	}
	r.hasNoHead()
}

func TestDeviceDoesNotGrow(t *testing.T) {
	r := newSlotRig(t)
	s := r.open()
	if n, err := s.WriteAt(make([]byte, 10), 2*head-9); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d bytes behind the end, %v", n, err)
	}
	if !bytes.Equal(r.content(), r.old) {
		t.Error("the device was changed")
	}
}
