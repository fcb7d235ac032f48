package main

import (
	"errors"
	"math/rand/v2"
	"sync"
)

// errNoPower is the result of every request after the power failed. If the disk
// acknowledged them, otad would report false things through no fault of its
// own.
var errNoPower = errors.New("disk: no power")

// disk is a block device with a volatile write cache, all of it in memory. A
// write is visible to reads at once and durable after the next flush; one
// marked FUA is durable by itself. The kernel sees it as an NBD export (a
// guest's disk) or as a FUSE file under a loop device (the host's).
type disk struct {
	lies bool // acknowledge a flush and do nothing, to test the rig
	bare bool // no file system is in use on it, which needs blocks that are not torn
	// twin loses its power when a cut takes this disk's, before anybody sees that;
	// nil: there is none.
	twin *disk

	mu      sync.Mutex
	durable []byte        // content that survives a power cut
	visible []byte        // content that a read returns: durable plus every pending write
	pending []write       // since the last flush, in order of arrival
	writes  int           // since power-on
	cutAt   int           // the write during which the power fails
	dead    chan struct{} // closed when the power fails
	off     bool
}

// write is one request, which a power cut may undo, in whole or in part.
type write struct {
	off  int64
	data []byte
	fua  bool // durable already; kept here because an older write may survive the cut, but not on top of it
}

// newDisk returns a disk, without power, that holds image.
func newDisk(image []byte) *disk {
	return &disk{durable: image, visible: append([]byte(nil), image...), off: true}
}

// powerOn starts the disk and plans the next cut: during the cutAt-th write
// from now. That write reaches the cache and is never acknowledged. The channel
// is closed at that moment.
func (d *disk) powerOn(cutAt int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off, d.writes, d.cutAt, d.dead = false, 0, cutAt, make(chan struct{})
	return d.dead
}

// cutIn moves the planned cut to the n-th write from now.
func (d *disk) cutIn(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt = d.writes + n
}

// powerOff cuts the power. It does nothing if the power is off.
func (d *disk) powerOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.off {
		d.off = true
		close(d.dead)
	}
}

// applyOutcome decides which pending writes have reached the medium. It is
// called between a cut and the next powerOn.
func (d *disk) applyOutcome(f outcome, rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	survives := f.plan(rng, len(d.pending))
	for i, w := range d.pending {
		for start, end := 0, 0; start < len(w.data); start = end {
			unit := f.unit(w, start)
			if d.bare && f == torn512 {
				unit = sectorSize
			}
			end = min(start+unit, len(w.data))
			if w.fua || survives(i) {
				copy(d.durable[w.off+int64(start):], w.data[start:end])
			}
		}
	}
	for _, w := range d.pending {
		end := w.off + int64(len(w.data))
		copy(d.visible[w.off:end], d.durable[w.off:end])
	}
	d.pending = nil
}

// writesSeen counts the writes since power-on.
func (d *disk) writesSeen() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

func (d *disk) size() int64 { return int64(len(d.durable)) }

func (d *disk) readAt(p []byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return errNoPower
	}
	copy(p, d.visible[off:])
	return nil
}

func (d *disk) writeAt(p []byte, off int64, fua bool) error {
	last, err := d.write(p, off, fua)
	if last && d.twin != nil {
		d.twin.powerOff()
	}
	return err
}

// write is writeAt of one disk. It reports whether the power failed with it.
func (d *disk) write(p []byte, off int64, fua bool) (last bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return false, errNoPower
	}
	d.writes++
	last = d.writes == d.cutAt
	data := append([]byte(nil), p...)
	copy(d.visible[off:], data)
	d.pending = append(d.pending, write{off, data, fua && !last && !d.lies})
	if last {
		d.off = true
		close(d.dead)
		return true, errNoPower
	}
	return false, nil
}

func (d *disk) flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return errNoPower
	}
	if d.lies {
		return nil
	}
	for _, w := range d.pending {
		copy(d.durable[w.off:], w.data)
	}
	d.pending = nil
	return nil
}
