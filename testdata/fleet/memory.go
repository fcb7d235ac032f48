package main

import (
	"bytes"
	"fmt"
	"os"
)

// perBoard is what one board may need, in bytes: its own memory while it
// downloads, and its state directory, which is in memory too.
const perBoard = 24 << 20

// memoryDir is where the state directories are: in memory, because a fleet's disks
// are not the one disk of this machine. "" stands for the usual folder.
func memoryDir() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// enoughMemory refuses to start more boards than this machine holds.
func (r *rig) enoughMemory() error {
	need := int64(r.boards+r.s3) * perBoard
	if free := available(); free > 0 && free < need {
		return fmt.Errorf("%d boards need %d MB of memory, and %d MB are available: give fewer -boards", r.boards+r.s3, need>>20, free>>20)
	}
	return nil
}

// available returns the memory that processes can have, in bytes; 0: not known.
func available() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(string(line), "MemAvailable: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	return 0
}

func (r *rig) describeMemory() {
	var resident, own int64
	for _, b := range r.all {
		res, o := b.memory()
		resident, own = resident+res, own+o
	}
	n := int64(len(r.all))
	fmt.Printf("       a board has %.1f MB of memory, %.1f MB of them its own\n", float64(resident/n)/1e6, float64(own/n)/1e6)
}
