package storage

import (
	"errors"
	"fmt"
	"io"
)

// Slot is a package that goes straight to a device: its first MiB is in
// NAME.otad-part until the package is whole, and everything else in its place on
// the device. To its caller it is the same as a [Partial]. One goroutine at a time
// uses it. An error of Sync is final.
//
// The device is held from OpenPartial to Close; nobody can mount it meanwhile.
type Slot struct {
	dir    *StateDir
	name   string // of the package
	device *device
	head   *Partial   // NAME.otad-part; nil while the record is written
	record slotRecord // as it is in the state directory

	headFull                   bool // its file is known to be as long as it
	headWritten, deviceWritten bool // since the last sync
	readsBack                  bool // DropCache was called
}

// Size returns how many bytes can be read. Nothing counts that the package's own
// checkpoints do not describe: a device has no length of its own.
func (s *Slot) Size() (int64, error) {
	switch {
	case s.record.written():
		return s.record.Size, nil
	case !s.record.begun():
		return 0, nil
	}
	head, err := s.head.Size()
	if err != nil || head < headSize {
		return head, err
	}
	return s.device.size, nil
}

// WriteAt writes b at offset. The first call of a package takes the device: it
// zeroes its head, durably. As in a file, what lies between the end and offset is
// zeros, or what was there. Behind the end of the device there is no room.
func (s *Slot) WriteAt(b []byte, offset int64) (n int, err error) {
	end := offset + int64(len(b))
	switch {
	case s.record.written():
		return 0, fmt.Errorf("write at %d: the package on %s is whole", offset, s.device.path)
	case end > s.device.size: // a plain file would grow
		return 0, &DeviceSizeError{Path: s.device.path, Need: end, Free: s.device.size}
	}
	if !s.record.begun() {
		if err := s.begin(); err != nil {
			return 0, err
		}
	}
	if k := min(int64(len(b)), headSize-offset); k > 0 {
		s.headWritten = true
		if n, err = s.head.WriteAt(b[:k], offset); err != nil || n == len(b) {
			return n, err
		}
	}
	if n == 0 {
		if err := s.fillHead(); err != nil {
			return 0, err
		}
	}
	s.deviceWritten = true
	k, err := s.device.file.WriteAt(b[n:], offset+int64(n))
	return n + k, err
}

// ReadAt reads into b from offset, as [io.ReaderAt] requires.
func (s *Slot) ReadAt(b []byte, offset int64) (n int, err error) {
	size, err := s.Size()
	if err != nil {
		return 0, err
	}
	short := error(nil)
	if left := max(size-offset, 0); int64(len(b)) > left {
		b, short = b[:left], io.EOF
	}
	if k := min(int64(len(b)), headSize-offset); k > 0 && !s.record.written() {
		if n, err = s.head.ReadAt(b[:k], offset); err != nil {
			return n, err
		}
	}
	if n < len(b) {
		k, err := s.device.file.ReadAt(b[n:], offset+int64(n))
		if n += k; err != nil {
			return n, err
		}
	}
	return n, short
}

// Truncate gives up the bytes from size on. On the device they stay until others
// are written there; nothing describes them. A package that was whole loses its
// head first, and when all of it is given up, nothing of the device is touched
// until there is a first byte of another one.
func (s *Slot) Truncate(size int64) error {
	switch {
	case s.record.written() && size >= s.record.Size:
		return nil
	case s.record.written() && size == 0:
		return s.forget()
	case s.record.written():
		if err := s.takeBack(); err != nil {
			return err
		}
	case !s.record.begun():
		return nil
	}
	if size >= headSize {
		return nil
	}
	s.headWritten, s.headFull = true, false
	return s.head.Truncate(size)
}

// Reserve makes sure that the package fits on the device, and its head into the
// state directory, where minFree bytes stay free. The first is a
// [*DeviceSizeError], the second a [*SpaceError].
func (s *Slot) Reserve(size, minFree int64) error {
	if size > s.device.size {
		return &DeviceSizeError{Path: s.device.path, Need: size, Free: s.device.size}
	}
	if s.head == nil {
		return nil
	}
	return s.head.Reserve(min(size, headSize), minFree)
}

// Sync makes every byte written before it durable. Which of the two is first does
// not matter, because the caller claims none of them before both are: the journal's
// checkpoint comes after Sync.
func (s *Slot) Sync() error {
	if s.deviceWritten {
		if err := s.device.file.Sync(); err != nil {
			return err
		}
		s.deviceWritten = false
	}
	if s.headWritten {
		if err := s.head.Sync(); err != nil {
			return err
		}
		s.headWritten = false
	}
	return nil
}

// DropCache makes the following reads come from the device and the disk of the
// state directory. Publish then also compares the head that it writes.
func (s *Slot) DropCache() error {
	s.readsBack = true
	s.device.dropCache()
	if s.head == nil {
		return nil
	}
	return s.head.DropCache()
}

// Publish makes the package of size bytes whole on the device, durably: its head
// is written when all else is durable, and then the record that says so. After an
// error the device may hold the whole package or one without a head.
func (s *Slot) Publish(size int64) error {
	if err := s.dir.checkInPlace(); err != nil {
		return err
	}
	if s.record.written() {
		return s.dir.RemovePartial(s.name) // a crash may have left it
	}
	if size > s.device.size || !s.record.begun() {
		return fmt.Errorf("publish %s: nothing of it is on %s", s.name, s.device.path)
	}
	return s.publish(size)
}

// Doubtful reports whether the device may have been written to since the package
// was whole: the kernel's counts say so, or there was a boot. Only the digest of
// all bytes shows then whether it still is.
func (s *Slot) Doubtful() bool {
	return s.record.written() && s.record.Writes != s.device.evidence(s.record.Size)
}

// Trust notes that the digest of all bytes was compared.
func (s *Slot) Trust() error {
	r := s.record
	r.Writes = s.device.evidence(r.Size)
	if err := s.dir.writeSlotRecord(s.name, r); err != nil {
		return err
	}
	s.record = r
	return nil
}

// Close gives the device free. It makes nothing durable.
func (s *Slot) Close() error {
	err := s.device.close()
	if s.head != nil {
		err = errors.Join(err, s.head.Close())
	}
	return err
}
