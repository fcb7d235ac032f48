package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"

	"otad/board/storage"
	"otad/testdata/otadrun"
)

// The lower bounds of the machine that runs: hashing alone, and writing alone. A
// fast disk must not hide a slow otad, and a slow disk must not look like one.

// writeFloor writes a package as otad does, with the same calls: blocks of 512
// KiB, a sync each interval. There is no network, no digest and no journal. It is a
// process of its own, so that it is measured as the others are.
func writeFloor(dir string, size int64) (err error) {
	const block = 512 << 10
	state, err := storage.OpenStateDir(dir)
	if err != nil {
		return err
	}
	defer state.Close()
	file, err := state.OpenPartial("package.bin")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Reserve(size, 0); err != nil {
		return err
	}
	data, free := storage.MapBuffer(8 * block) // as many as otad has
	defer free()
	for i := range data {
		data[i] = byte(i * 2654435761 >> 13) // not zeros, which a disk may leave out
	}
	blocks := slices.Collect(slices.Chunk(data, block))
	for off := int64(0); off < size; {
		b := blocks[off/block%8]
		b = b[:min(block, size-off)]
		if _, err := file.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
		if off%interval == 0 || off == size {
			if err := file.Sync(); err != nil {
				return err
			}
		}
	}
	return nil
}

// floorProcess returns this program as the one that writes alone.
func floorProcess(dir string, size int64) []*exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := otadrun.Command(self, "floor", "-size", strconv.FormatInt(size, 10), dir)
	cmd.Stderr = os.Stderr
	return []*exec.Cmd{cmd}
}

// memoryDir returns a folder of a file system without a disk, "" where there is none.
func memoryDir() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// limits are the costs of one batch of rounds, by name.
type limits map[string][]cost

// processor returns otad without a disk over hashing alone, round by round: what the
// pipeline costs the processor.
func (l limits) processor() []float64 { return ratios(l[nameTmpfs], l[nameHash], wall) }

// durability returns otad over the slower of otad without a disk and the disk alone,
// round by round: what durability costs.
func (l limits) durability() []float64 {
	v := make([]float64, len(l[nameOtad]))
	for i, k := range l[nameOtad] {
		v[i] = k.wall / max(l[nameTmpfs][i].wall, l[nameFloor][i].wall)
	}
	return v
}

// String returns both ratios, and what storing costs against other programs.
func (l limits) String() string {
	line := func(what string, v []float64) string {
		return fmt.Sprintf("| %s | %.2f | %.2f |\n", what, middle(v), slices.Min(v))
	}
	return "| | median | best round |\n|---|---|---|\n" +
		line("otad on tmpfs / hashing alone", l.processor()) +
		line("otad / max(otad on tmpfs, write floor)", l.durability()) +
		line(`otad / (curl \| md5sum), which stores nothing`, ratios(l[nameOtad], l[namePipe], wall)) +
		line("otad / (curl && md5sum)", ratios(l[nameOtad], l[nameCurls], wall)) +
		line("CPU of otad / (curl + md5sum)", ratios(l[nameOtad], l[nameCurls], cpu))
}
