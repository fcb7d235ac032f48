package storage

import (
	"fmt"
	"os"
	"path/filepath"
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
	parts, _ := filepath.Glob(filepath.Join(dir, "*", "partition"))
	for _, part := range parts {
		near = append(near, filepath.Dir(part))
	}
	var users []string
	for _, d := range near {
		var major, minor uint32
		if n, _ := fmt.Sscanf(readLine(d, "dev"), "%d:%d", &major, &minor); n == 2 {
			devices[unix.Mkdev(major, minor)] = true
		}
		holders, _ := os.ReadDir(filepath.Join(d, "holders"))
		for _, h := range holders {
			users = append(users, "used by "+h.Name())
		}
	}
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
		var major, minor uint32
		n, _ := fmt.Sscanf(fields[2], "%d:%d", &major, &minor)
		if n == 2 && devices[unix.Mkdev(major, minor)] || devices[rdevOf(unescape(source[1]))] {
			where = append(where, "mounted at "+unescape(fields[4]))
		}
	}
	return where
}

// loopOf returns the loop device that a file is attached to, "" for none.
func (s system) loopOf(st *unix.Stat_t) string {
	files, _ := filepath.Glob(filepath.Join(s.sys, "block/loop*/loop/backing_file"))
	for _, file := range files {
		var backing unix.Stat_t
		if unix.Stat(readLine(filepath.Dir(file), "backing_file"), &backing) == nil &&
			backing.Dev == st.Dev && backing.Ino == st.Ino {
			return filepath.Base(filepath.Dir(filepath.Dir(file)))
		}
	}
	return ""
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
