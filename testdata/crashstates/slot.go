package crashstates

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
)

// A package that goes straight to a device. The device is a plain file beside the
// state directory, and in the model one more file, whose changes survive a cut in
// any combination with those of the directory: two disks that lose writes
// independently.

// slotName is the device's name in a State; its path is that of the directory with
// the name behind it.
const slotName = ".slot"

// slotHead is what is kept back of a package until it is whole.
const slotHead = 1 << 20

// place returns the path of a name in the state directory dir, or of the device.
func place(dir, name string) string {
	if name == slotName {
		return dir + slotName
	}
	return filepath.Join(dir, name)
}

// NewSlotJob returns a job for a package of size bytes that goes to the device. It
// makes fewer checkpoints than others, because it is larger.
func NewSlotJob(name string, size int64) *Job {
	j := NewJob(name, size)
	j.every, j.toSlot = 4*Interval, true
	return j
}

// interval returns the job's checkpoint interval.
func (j *Job) interval() int64 {
	if j.every > 0 {
		return j.every
	}
	return Interval
}

func longestInterval(jobs []*Job) (most int64) {
	for _, j := range jobs {
		most = max(most, j.interval())
	}
	return most
}

// withSlot returns a state whose device holds an earlier content.
func withSlot(size int64) (State, []byte) {
	old := NewJob("", size).object.Bytes
	old[0] = 0xee // no package begins so
	return State{slotName: Content{mode: 0o600}.write(0, old)}, old
}

// renameDevices makes the records in dir name the device of dir: a plain file is
// known again by its number, which another one has.
func renameDevices(dir string) error {
	path := place(dir, slotName)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	records, _ := filepath.Glob(filepath.Join(dir, "*.otad-slot"))
	for _, record := range records {
		if err := renameDevice(record, path, info); err != nil {
			return err
		}
	}
	return nil
}

var (
	deviceKey = regexp.MustCompile(`"device":"[^"]*"`)
	inodeKey  = regexp.MustCompile(`"inode":[0-9]+`)
)

// renameDevice makes a record that is whole name the device at path.
func renameDevice(record, path string, info fs.FileInfo) error {
	raw, err := os.ReadFile(record)
	if err != nil {
		return err
	}
	sum := func(body []byte) string {
		return fmt.Sprintf("%08x\n", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	}
	body, tail, ok := bytes.Cut(raw, []byte("\n"))
	if !ok || string(tail) != sum(body) || !json.Valid(body) {
		return nil // torn
	}
	body = deviceKey.ReplaceAll(body, []byte(`"device":"`+path+`"`))
	body = inodeKey.ReplaceAll(body, fmt.Appendf(nil, `"inode":%d`, inode(info)))
	return os.WriteFile(record, append(append(body, '\n'), sum(body)...), 0o600)
}

// checkSlot returns an error if something can be mounted from the device that is
// not whole. What a boot loader or mount looks for is in the first sector, or in
// the two that begin at 1024.
func (r *Run) checkSlot(b []byte) error {
	var known []*Job
	for _, j := range r.Jobs {
		if j.toSlot {
			known = append(known, j)
		}
	}
	for i := -1; i < len(known); i++ {
		whole, what, spoiled := r.old, "the old content", false
		if i >= 0 {
			whole, what, spoiled = known[i].object.Bytes, known[i].Name, known[i].Spoiled
		}
		if whole == nil || len(b) < len(whole) {
			continue
		}
		at := func(from, to int) bool { return bytes.Equal(b[from:to], whole[from:to]) }
		switch {
		case at(0, sectorSize) && (spoiled || !at(0, len(whole))):
			return fmt.Errorf("the first sector is that of %s, which is not whole on the device", what)
		case at(1024, 2048) && (spoiled || !at(pageSize, len(whole))):
			return fmt.Errorf("the superblock is that of %s, which is not whole on the device", what)
		}
	}
	return nil
}

// holds reports whether the state has the whole package.
func (s State) holds(j *Job) bool {
	if !j.toSlot {
		return j.isWhole(s[j.Name].bytes())
	}
	b := s[slotName].bytes()
	return int64(len(b)) >= j.object.Len() && j.isWhole(b[:j.object.Len()])
}

// store adapts the state directory to the machine's interface, as otad does.
type store struct {
	*storage.StateDir
	slots  *storage.Slots
	path   string // of the device
	record func() journal.Record
}

func (s store) toSlot(name string) bool {
	job := s.record().Job
	return job.Name == name && job.Output != ""
}

func (s store) OpenPartial(name string) (fsm.Partial, error) {
	if s.toSlot(name) {
		return s.slots.OpenPartial(name, s.path)
	}
	if err := s.slots.Release(name); err != nil {
		return nil, err
	}
	return s.StateDir.OpenPartial(name)
}

func (s store) RemovePartial(name string) error {
	if err := s.slots.Release(name); err != nil {
		return err
	}
	return s.StateDir.RemovePartial(name)
}

func (s store) Published(name string) (fsm.Published, error) {
	if s.toSlot(name) {
		return s.slots.Published(name, s.path)
	}
	return s.StateDir.Published(name)
}
