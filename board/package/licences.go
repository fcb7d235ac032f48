package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// packages lists what is linked into the binary for boards. The list is that of one
// architecture, so that every machine and every package has the same.
const packages = `{{if .Module}}{{if not .Module.Main}}{{.Module.Path}} {{.Module.Version}}	{{.Module.Dir}}	{{.Dir}}{{end}}{{end}}`

// goLicence is the module with the same licence as Go's standard library, which
// some distributions of Go do not have beside it.
const goLicence = "golang.org/x/sys "

// notice is one text of a licence, and the modules that it is about.
type notice struct{ modules, text string }

// licences returns the licence of otad, whose folder is root, and of each module
// that is linked into it. The licences of most ask for that.
func licences(root string) ([]byte, error) {
	own, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "list", "-deps", "-tags", "nethttpomithttp2", "-f", packages, ".")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var notices []notice
	for line := range strings.Lines(string(out)) {
		columns := strings.Split(strings.TrimSpace(line), "\t")
		if len(columns) != 3 {
			continue
		}
		if notices, err = collect(notices, columns[0], columns[1], columns[2]); err != nil {
			return nil, err
		}
	}
	if len(notices) == 0 {
		return nil, errors.New("go list: no modules")
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "otad\n\n%s", own)
	for _, n := range notices {
		if strings.Contains(n.modules, goLicence) {
			n.modules = "the Go standard library\n" + n.modules
		}
		fmt.Fprintf(&text, "\n%s\n%s\n\n%s", strings.Repeat("-", 72), n.modules, n.text)
	}
	return text.Bytes(), nil
}

// collect adds the files of licences from a package's folder up to that of its
// module. A text that is there already gets one more module.
func collect(notices []notice, module, top, dir string) ([]notice, error) {
	for {
		var files []string
		for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "NOTICE*"} {
			found, _ := filepath.Glob(filepath.Join(dir, pattern)) // the patterns are valid
			files = append(files, found...)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			i := slices.IndexFunc(notices, func(n notice) bool { return n.text == string(text) })
			switch {
			case i < 0:
				notices = append(notices, notice{module, string(text)})
			case !slices.Contains(strings.Split(notices[i].modules, "\n"), module):
				notices[i].modules += "\n" + module
			}
		}
		if dir == top || len(dir) < len(top) {
			return notices, nil
		}
		dir = filepath.Dir(dir)
	}
}
