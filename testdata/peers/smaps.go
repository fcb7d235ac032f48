package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// resident is the memory of a process in bytes by what it is.
type resident struct {
	code, files      float64 // file-backed: the program's own, and others such as the journal
	variables        float64 // the program's data and bss
	heap             float64 // Go's arena, goroutines' stacks included
	runtime          float64 // anonymous memory elsewhere: what the runtime keeps its books in
	rss              float64
	arena, dataEnd   uint64
	lastPath, binary string
}

// arenaSize is Go's on 64 bits: addresses of the heap come in such pieces.
const arenaSize = 64 << 20

// residentOf reads what the kernel says of each mapping. arena is an address on
// the Go heap.
func residentOf(pid int, binary string, arena uint64) (resident, error) {
	r := resident{arena: arena &^ (arenaSize - 1), binary: filepath.Base(binary)}
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return r, err
	}
	defer f.Close()
	var start, end uint64
	var rss float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case !strings.HasSuffix(fields[0], ":"):
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &start, &end); err != nil {
				return r, fmt.Errorf("smaps %q: %w", lines.Text(), err)
			}
			r.lastPath = ""
			if len(fields) > 5 {
				r.lastPath = fields[5]
			}
		case fields[0] == "Rss:":
			fmt.Sscan(fields[1], &rss)
		case fields[0] == "Anonymous:":
			var anonymous float64
			fmt.Sscan(fields[1], &anonymous)
			r.add(start, end, rss*1024, anonymous*1024)
		}
	}
	return r, nil
}

// add accounts for one mapping.
func (r *resident) add(start, end uint64, rss, anonymous float64) {
	r.rss += rss
	own := filepath.Base(r.lastPath) == r.binary
	if own {
		r.code += rss - anonymous
	} else {
		r.files += rss - anonymous
	}
	switch {
	case own, r.lastPath == "" && start == r.dataEnd: // bss follows the data
		r.variables += anonymous
		r.dataEnd = end
	case start >= r.arena && end <= r.arena+arenaSize:
		r.heap += anonymous
	default:
		r.runtime += anonymous
	}
}
