package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

const (
	slotSuffix = ".otad-slot"           // of the record of a package that goes to a device
	newRecord  = journalPrefix + "slot" // a record that has not its name yet

	maxSlotRecord = 4096 // bytes
)

// slotRecord is NAME.otad-slot, what the state directory knows of the device that
// the package NAME goes to. It is there from before the first write to the device
// until the job is given up, and says at Ready what was written. The zero value
// means that nothing of the device was touched.
type slotRecord struct {
	Device string   `json:"device,omitempty"` // its path
	ID     deviceID `json:"id,omitzero"`
	Size   int64    `json:"size,omitempty"`   // bytes of the whole package on the device; 0: it is not whole
	Writes string   `json:"writes,omitempty"` // device.evidence after the last write
}

// begun reports whether the device may hold a part of the package, but for its
// head.
func (r slotRecord) begun() bool { return r.Device != "" && r.Size == 0 }

// written reports whether the device holds the whole package.
func (r slotRecord) written() bool { return r.Device != "" && r.Size > 0 }

// readSlotRecord returns the record of a package, the zero value when there is
// none. A damaged one counts as none: the package is then fetched anew.
func (d *StateDir) readSlotRecord(name string) (slotRecord, error) {
	if err := checkName(name); err != nil {
		return slotRecord{}, err
	}
	f, err := d.openAt(name+slotSuffix, os.O_RDONLY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), isForeign(err):
		return slotRecord{}, nil
	case err != nil:
		return slotRecord{}, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSlotRecord))
	if err != nil {
		return slotRecord{}, err
	}
	var r slotRecord
	body, sum, ok := bytes.Cut(raw, []byte("\n"))
	if !ok || string(sum) != recordSum(body) || d.checkOwn(f) != nil || json.Unmarshal(body, &r) != nil {
		return slotRecord{}, nil
	}
	return r, nil
}

// writeSlotRecord makes r the record of a package, durably: the old or the new
// one is there after a crash.
func (d *StateDir) writeSlotRecord(name string, r slotRecord) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := d.unlink(newRecord); err != nil { // of a process that was killed
		return err
	}
	f, err := d.openOwn(newRecord)
	if err != nil {
		return err
	}
	_, err = f.Write(append(append(body, '\n'), recordSum(body)...))
	if err == nil {
		err = ignoringEINTR(func() error { return d.sys.fsync(int(f.Fd())) })
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the record of %s: %w", name, err)
	}
	err = ignoringEINTR(func() error { return d.sys.rename(int(d.dir.Fd()), newRecord, name+slotSuffix) })
	if err != nil {
		return fmt.Errorf("write the record of %s: %w", name, err)
	}
	return d.sync()
}

func (d *StateDir) removeSlotRecord(name string) error {
	if err := d.unlink(name + slotSuffix); err != nil {
		return err
	}
	return d.sync()
}

// recordSum returns the last line of a record whose first line is body.
func recordSum(body []byte) string {
	return fmt.Sprintf("%08x\n", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// evidence returns what is another text when the package of size bytes was written
// over since. Where nobody counts the writes, the first and the last block of the
// package have to do, within one boot.
func (v *device) evidence(size int64) string {
	sys := v.file.dir.sys.system
	var st unix.Stat_t
	if v.file.dir.fstat(v.file.f, &st) == nil {
		if writes := sys.writes(&st); writes != "" {
			return writes
		}
	}
	const block = 4096
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for _, at := range [...]int64{0, max(0, size-block)} {
		_, _ = io.Copy(sum, io.NewSectionReader(v.file, at, min(block, size))) // an error is another sum
	}
	return fmt.Sprintf("%s %08x", sys.bootID(), sum.Sum32())
}
