package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Slots are the devices that packages may be written to. No other path is ever
// opened for writing. Its methods may be called from any goroutine.
type Slots struct {
	dir     *StateDir
	allowed []string
}

// NewSlots returns the slots of a state directory. allowed are the paths of the
// devices.
func NewSlots(d *StateDir, allowed ...string) *Slots { return &Slots{d, allowed} }

// OpenPartial opens the package name on the device at path, to go on with it or to
// begin. Nothing of the device is changed before the first byte is written; only a
// head that was written without its record is zeroed. Errors: an [*UnfitError]
// for a path that is not allowed or cannot be used, or for another device than
// the one that the package was begun on.
func (s *Slots) OpenPartial(name, path string) (_ *Slot, err error) {
	if !slices.Contains(s.allowed, path) {
		return nil, &UnfitError{path, "is not among the devices of -output", fs.ErrPermission}
	}
	r, err := s.dir.readSlotRecord(name)
	if err != nil {
		return nil, err
	}
	if r.Device != "" && r.Device != path {
		if err := s.Release(name); err != nil {
			return nil, err
		}
		r = slotRecord{}
	}
	v, err := s.dir.openDevice(path)
	if err != nil {
		return nil, err
	}
	slot := &Slot{dir: s.dir, name: name, device: v, record: r}
	defer func() {
		if err != nil {
			slot.Close()
		}
	}()
	if change := r.ID.differs(v.id); r.begun() && change != "" {
		return nil, &UnfitError{path, change + ", so it is not the device that the package was begun on: " +
			"attach that one again, or give the job up", nil}
	} else if r.written() && change != "" {
		slot.record = slotRecord{} // what it says is of another device
	}
	switch {
	case slot.record.written():
		return slot, nil
	case !slot.record.begun():
		slot.head, err = slot.emptyHead()
		return slot, err
	}
	if slot.head, err = s.dir.OpenPartial(name); err != nil {
		return nil, err
	}
	// A crash between the head and its record has left a head. Until Publish writes
	// it there is none: what is fetched again must not be mounted meanwhile.
	has, err := v.hasHead()
	if err == nil && has {
		err = v.zeroHead()
	}
	return slot, err
}

// Release gives up what is not whole of the package on its device: the head of
// the device is zeroed, durably, and the record removed. A package that is whole
// stays on the device, and so does everything on one that is not allowed any more,
// that is gone, in use or another one. No record is no error. NAME.otad-part is
// the caller's to remove, after Release.
func (s *Slots) Release(name string) error {
	r, err := s.dir.readSlotRecord(name)
	if err != nil {
		return err
	}
	if r.begun() && slices.Contains(s.allowed, r.Device) {
		if err := s.dir.zeroBegun(r); err != nil {
			return err
		}
	}
	// A crash here leaves a record, and the same is done again.
	if _, err := s.dir.lstat(name + slotSuffix); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.dir.removeSlotRecord(name)
}

// zeroBegun zeroes the head of the device that a package was begun on, if it is
// still that one.
func (d *StateDir) zeroBegun(r slotRecord) error {
	v, err := d.openDevice(r.Device)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EBUSY):
		return nil
	case err != nil:
		return err
	}
	if r.ID.differs(v.id) == "" {
		err = v.zeroHead()
	}
	return errors.Join(err, v.close())
}

// WrittenSlot is a whole package on a device, open for reading.
type WrittenSlot struct {
	file   *os.File
	record slotRecord // with the present evidence
}

// Published opens the package name on the device at path for reading. The error
// matches [fs.ErrNotExist] if there is none, and if the device was written to since
// and is mounted: then it is in use, and no package any more.
func (s *Slots) Published(name, path string) (_ *WrittenSlot, err error) {
	missing := &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	r, err := s.dir.readSlotRecord(name)
	if err != nil {
		return nil, err
	}
	if !r.written() || r.Device != path || !slices.Contains(s.allowed, path) {
		return nil, missing
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	v := &device{path: path, file: &Partial{dir: s.dir, name: path, f: f}}
	var st unix.Stat_t
	if err := s.dir.fstat(f, &st); err != nil || v.measure(&st) != nil || r.ID.differs(v.id) != "" {
		f.Close()
		return nil, missing
	}
	now := v.evidence(r.Size)
	if r.Writes != now && s.dir.sys.system.isMounted(uint64(st.Rdev)) {
		f.Close()
		return nil, missing
	}
	r.Writes = now
	return &WrittenSlot{f, r}, nil
}

// ReadAt reads into b from offset, as [io.ReaderAt] requires.
func (w *WrittenSlot) ReadAt(b []byte, offset int64) (int, error) { return w.file.ReadAt(b, offset) }

// Close closes the device.
func (w *WrittenSlot) Close() error { return w.file.Close() }

// Stat describes the package. Its time and its number as a file are another one
// whenever the device or what is on it may be.
func (w *WrittenSlot) Stat() (fs.FileInfo, error) { return writtenInfo{w.record}, nil }

type writtenInfo struct{ record slotRecord }

func (i writtenInfo) Name() string       { return i.record.Device }
func (i writtenInfo) Size() int64        { return i.record.Size }
func (i writtenInfo) Mode() fs.FileMode  { return fs.ModeDevice }
func (i writtenInfo) ModTime() time.Time { return time.Unix(0, int64(number(i.record.Writes)>>1)) }
func (i writtenInfo) IsDir() bool        { return false }
func (i writtenInfo) Sys() any {
	return &syscall.Stat_t{Ino: number(fmt.Sprintf("%s %+v", i.record.Device, i.record.ID))}
}
