package storage

import (
	"bytes"
	"fmt"
)

// The order of a package on its way to a device. The head is the first MiB of
// both. In it lies what mount(8), blkid(8) and boot loaders recognize an image by
// (ext4, squashfs, erofs, xfs, btrfs, f2fs, FAT, a FIT, an Android boot image, a
// partition table), and without it they take nothing from the device.
//
//	begin     record: begun ─> head zeroed ─> synced     at the first byte of a good answer
//	WriteAt   bytes below a MiB to NAME.otad-part, all others to their place
//	Sync      device and NAME.otad-part synced           then the journal claims the bytes
//	publish   head written ─> synced ─> record: written  then the journal says Ready
//
// So after a cut anywhere the device holds the old content, or nothing that can be
// mounted, or the whole package. In between, from the first byte to the last, the
// head on the device is zero, and everything that is claimed is durable.
//
// A disk writes whole blocks of its own, and in any order what lies between two
// syncs. So the head comes and goes in three steps, of which the one that touches
// the first block alone comes last, or first: a squashfs whose first block is there
// is taken for whole. The second is what ends at 4096: the superblocks that begin
// at 1024.

// headSteps returns where the head of n bytes is cut for its steps, in the order
// of writing zeros.
func (v *device) headSteps(n int64) [][2]int64 {
	first, second := min(v.block, n), min(max(v.block, 4096), n)
	return [][2]int64{{0, first}, {first, second}, {second, n}}
}

// zeroHead makes the head of the device zeros, durably. A crash in it leaves no
// head, or the head with its first block gone.
func (v *device) zeroHead() error {
	n := min(headSize, v.size)
	zeros, free := MapBuffer(int(n))
	defer free()
	for _, step := range v.headSteps(n) {
		if err := v.put(zeros, step); err != nil {
			return fmt.Errorf("zero the head of %s: %w", v.path, err)
		}
		// A crash here leaves what cannot be mounted: the first block is zero.
	}
	return nil
}

// writeHead writes the head of the device durably, its first block last. All of
// the package behind it is durable.
func (v *device) writeHead(head []byte) error {
	steps := v.headSteps(int64(len(head)))
	for i := len(steps) - 1; i >= 0; i-- {
		if err := v.put(head, steps[i]); err != nil {
			return fmt.Errorf("write the head of %s: %w", v.path, err)
		}
		// A crash here leaves what cannot be mounted, and after the first block the
		// whole package.
	}
	return nil
}

// put writes the bytes of b in a range to their place and syncs them.
func (v *device) put(b []byte, at [2]int64) error {
	if at[0] == at[1] {
		return nil
	}
	if _, err := v.file.WriteAt(b[at[0]:at[1]], at[0]); err != nil {
		return err
	}
	return v.file.Sync()
}

// hasHead reports whether the head of the device is anything but zeros.
func (v *device) hasHead() (bool, error) {
	n := min(headSize, v.size)
	head, free := MapBuffer(int(n))
	defer free()
	if _, err := v.file.ReadAt(head, 0); err != nil {
		return false, err
	}
	for len(head) > 0 && head[0] == 0 {
		head = head[1:]
	}
	return len(head) > 0, nil
}

// begin makes the device ready for the first byte of the package.
func (s *Slot) begin() error {
	// A crash before this line leaves the old content and no trace.
	r := slotRecord{Device: s.device.path, ID: s.device.id}
	if err := s.dir.writeSlotRecord(s.name, r); err != nil {
		return err
	}
	// A crash here leaves the old content, and a record by which the device is
	// known again. What gives the job up zeroes the head although it could stay.
	if err := s.device.zeroHead(); err != nil {
		return err
	}
	// A crash here leaves a device without a head.
	s.record = r
	return nil
}

// publish writes the head, and then the record that the package is whole. The
// caller has compared its digest.
func (s *Slot) publish(size int64) error {
	if err := s.Sync(); err != nil { // the checkpoint before has done it; without it, the head could be first
		return err
	}
	// A crash here leaves a device without a head, and all else durable.
	head, free := MapBuffer(int(min(headSize, size)))
	defer free()
	if _, err := s.head.ReadAt(head, 0); err != nil {
		return err
	}
	if err := s.device.writeHead(head); err != nil {
		return err
	}
	if s.readsBack {
		if err := s.device.compareHead(head); err != nil {
			return err
		}
	}
	// A crash here leaves the whole package. The next start zeroes the head and
	// comes here again: nothing says yet that it was written.
	r := slotRecord{Device: s.device.path, ID: s.device.id, Size: size, Writes: s.device.evidence(size)}
	if err := s.dir.writeSlotRecord(s.name, r); err != nil {
		return err
	}
	s.record = r
	// A crash here leaves the whole package and its record: the next start finds
	// both, and becomes Ready.
	return s.dir.RemovePartial(s.name)
}

// compareHead returns an error if the device does not hold what was written.
func (v *device) compareHead(head []byte) error {
	v.dropCache()
	back, free := MapBuffer(len(head))
	defer free()
	if _, err := v.file.ReadAt(back, 0); err != nil {
		return err
	}
	if !bytes.Equal(head, back) {
		return fmt.Errorf("%s does not hold the head that was written to it: the device is broken", v.path)
	}
	return nil
}

// dropCache makes the next reads come from the device and not from memory.
func (v *device) dropCache() {
	_ = v.file.withFD(v.file.dir.sys.fadvise)
	v.file.readsDirect.Store(v.file.direct != nil)
}
