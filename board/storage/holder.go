package storage

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// holderOf returns what keeps a block device from being opened, as far as the
// kernel shows it, for a person.
func (s system) holderOf(rdev uint64) string {
	dir := s.block(rdev)
	devices := map[uint64]bool{rdev: true} // it, its partitions or the disk that it is a part of
	near := []string{dir}
	if readLine(dir, "partition") != "" {
		near = append(near, filepath.Dir(dir))
	}
	for _, name := range namesIn(dir) {
		if part := filepath.Join(dir, name); readLine(part, "partition") != "" {
			near = append(near, part)
		}
	}
	var users []string
	for _, d := range near {
		devices[parseDevice(readLine(d, "dev"))] = true
		for _, h := range namesIn(filepath.Join(d, "holders")) {
			users = append(users, "used by "+h)
		}
	}
	delete(devices, 0)
	users = append(s.mountsOf(devices), users...)
	if swaps, err := os.ReadFile(filepath.Join(s.proc, "swaps")); err == nil {
		for line := range strings.Lines(string(swaps)) {
			if path, _, ok := strings.Cut(line, " "); ok && devices[rdevOf(path)] {
				users = append(users, "swap space")
			}
		}
	}
	if len(users) == 0 {
		return "another program has it open for itself alone, or a mount that is not seen from here"
	}
	return strings.Join(users, ", ")
}

// isMounted reports whether a block device is mounted.
func (s system) isMounted(rdev uint64) bool {
	return rdev != 0 && len(s.mountsOf(map[uint64]bool{rdev: true})) > 0
}

// mountsOf returns where the devices are mounted (proc_pid_mountinfo(5)). The
// number in the third field is made up for btrfs, so the source counts too.
func (s system) mountsOf(devices map[uint64]bool) (where []string) {
	mounts, _ := os.ReadFile(filepath.Join(s.proc, "self/mountinfo"))
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		_, after, ok := strings.Cut(line, " - ")
		source := strings.Fields(after)
		if !ok || len(fields) < 5 || len(source) < 2 {
			continue
		}
		if devices[parseDevice(fields[2])] || devices[rdevOf(unescape(source[1]))] {
			where = append(where, "mounted at "+unescape(fields[4]))
		}
	}
	return where
}

// loopOf returns the loop device that a file is attached to, "" for none.
func (s system) loopOf(st *unix.Stat_t) string {
	blocks := filepath.Join(s.sys, "block")
	for _, name := range namesIn(blocks) {
		var backing unix.Stat_t
		file := readLine(filepath.Join(blocks, name), "loop/backing_file")
		if file != "" && unix.Stat(file, &backing) == nil && backing.Dev == st.Dev && backing.Ino == st.Ino {
			return name
		}
	}
	return ""
}

// namesIn returns the names in a directory, none if it cannot be read.
func namesIn(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	slices.Sort(names)
	return names
}

// parseDevice returns the number of a device that is written as 179:3, 0 for none.
func parseDevice(text string) uint64 {
	major, minor, _ := strings.Cut(text, ":")
	m, err := strconv.ParseUint(major, 10, 32)
	n, minorErr := strconv.ParseUint(minor, 10, 32)
	if err != nil || minorErr != nil {
		return 0
	}
	return unix.Mkdev(uint32(m), uint32(n))
}

// rdevOf returns the number of the block device at path, 0 for none.
func rdevOf(path string) uint64 {
	var st unix.Stat_t
	if !strings.HasPrefix(path, "/") || unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0
	}
	return uint64(st.Rdev)
}

// unescape undoes what the kernel does to the spaces of a path.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
