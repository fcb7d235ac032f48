package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mapping is a mapping of a process, with its sizes in bytes.
type mapping struct {
	start, end     uint64
	path           string // empty: anonymous
	rss, anonymous float64
	huge           bool // the program has requested huge pages
}

// mappings returns the mappings of a process, by address.
func mappings(pid int) ([]mapping, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mapping
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if !strings.HasSuffix(fields[0], ":") {
			var m mapping
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &m.start, &m.end); err != nil {
				return nil, fmt.Errorf("smaps %q: %w", lines.Text(), err)
			}
			if len(fields) > 5 {
				m.path = fields[5]
			}
			all = append(all, m)
			continue
		}
		if fields[0] == "VmFlags:" {
			all[len(all)-1].huge = slices.Contains(fields, "hg")
			continue
		}
		var kB float64
		fmt.Sscan(fields[1], &kB)
		switch m := &all[len(all)-1]; fields[0] {
		case "Rss:":
			m.rss = kB * 1024
		case "Anonymous:":
			m.anonymous = kB * 1024
		}
	}
	return all, nil
}

// resident is the memory of a process in bytes by use.
type resident struct {
	rss        float64
	code       float64 // file-backed, the program's own
	files      float64 // file-backed, others such as the journal
	variables  float64 // the program's data and bss
	heap       float64 // Go's, the goroutines' stacks included
	blocks     float64 // of a transfer
	runtimeOwn float64 // anonymous memory elsewhere: the runtime's own
}

// residentOf adds up the mappings of a process. They come in groups without a
// gap: the group with the program ends in its bss, and the group with onHeap,
// an address, is the heap, parts of it in use and others in reserve.
func residentOf(pid int, program string, onHeap uint64) (resident, error) {
	all, err := mappings(pid)
	var r resident
	for len(all) > 0 {
		n, own := 1, filepath.Base(all[0].path) == filepath.Base(program)
		for n < len(all) && all[n].start == all[n-1].end {
			n++
		}
		heap := all[0].start <= onHeap && onHeap < all[n-1].end
		for _, m := range all[:n] {
			r.rss += m.rss
			into := &r.runtimeOwn
			switch {
			case heap:
				into = &r.heap
			case own:
				into = &r.variables
			case m.huge:
				into = &r.blocks
			}
			*into += m.anonymous
			file := &r.files
			if own {
				file = &r.code
			}
			*file += m.rss - m.anonymous
		}
		all = all[n:]
	}
	return r, err
}
