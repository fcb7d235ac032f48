package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A rig that finds nothing proves nothing. Each fault is an otad that breaks
// one rule of durability, and the rig must find it. The go command's -overlay
// puts the changed file into the build; the source stays as it is.
type fault struct {
	file     string // from the root of the repository
	old, new string
}

func faults() map[string]fault {
	return map[string]fault{
		"unsynced-data": {"fsm/diskwriter.go", "w.file.Sync()", "error(nil)"},
		"early-commit": {"fsm/diskwriter.go", "if err := w.file.Sync(); err != nil {",
			strings.Repeat("if err := w.await(); err != nil {\nreturn err\n}\nw.begin(w.next)\n", 2) +
				"if err := w.file.Sync(); err != nil {"},
		// A poll must have the time to see it.
		"early-report": {"fsm/stages.go", "err := c.commit(cp)",
			"c.durable(cp.Offset)\ntime.Sleep(20 * time.Millisecond)\nerr := c.commit(cp)"},
		// The sync of the file after the rename takes the rename along on ext4,
		// so both have to go.
		"unsynced-rename": {"board/storage/publish.go", "if err := p.syncWhole(); err != nil {\n\t\treturn err\n\t}\n" +
			"\t// A crash here leaves one of the two names, with all bytes.\n\treturn p.dir.sync()", "return nil"},
		"head-first": {"board/storage/slot.go", "s.headWritten = true\n\t\tif n, err =",
			"s.headWritten = true\n\t\t_, _ = s.device.file.WriteAt(b[:k], offset)\n\t\tif n, err ="},
		"unzeroed-head":    {"board/storage/slotorder.go", "err := s.device.zeroHead(); err", "err := error(nil); err"},
		"unsynced-device":  {"board/storage/slot.go", "err := s.device.file.Sync(); err", "err := error(nil); err"},
		"unsynced-head":    {"board/storage/slotorder.go", "return v.file.Sync()", "return nil"},
		"unsynced-journal": {"journal/open.go", "&bolt.Options{", "&bolt.Options{NoSync: true, "},
	}
}

// apply returns the source under root with the fault in it.
func (f fault) apply(root string) ([]byte, error) {
	source, err := os.ReadFile(filepath.Join(root, f.file))
	if err != nil {
		return nil, err
	}
	if strings.Count(string(source), f.old) != 1 {
		return nil, fmt.Errorf("%q is not in %s exactly once", f.old, f.file)
	}
	return []byte(strings.Replace(string(source), f.old, f.new, 1)), nil
}

// overlay writes the file for the go command's -overlay that builds the fault
// into the otad of the current directory, and returns its name.
func overlay(dir, name string) (string, error) {
	f, ok := faults()[name]
	if !ok {
		return "", fmt.Errorf("no such fault: %s", name)
	}
	source, err := f.apply(".")
	if err != nil {
		return "", fmt.Errorf("fault %s: %w", name, err)
	}
	changed := filepath.Join(dir, "fault.go")
	if err := os.WriteFile(changed, source, 0o600); err != nil {
		return "", err
	}
	path, err := filepath.Abs(f.file)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, text, 0o600)
}

// faultNames lists the values of the flag -break.
func faultNames() string {
	return strings.Join(slices.Sorted(maps.Keys(faults())), ", ")
}
