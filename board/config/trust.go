package config

import (
	"errors"
	"fmt"
	"strings"

	"otad/journal"
)

// files is a list of files. Each Set adds one.
type files struct{ target *[]string }

func (f files) clear() { *f.target = nil }

func (f files) Set(path string) error {
	if path == "" {
		return errors.New("want a file, got nothing")
	}
	*f.target = append(*f.target, path)
	return nil
}

func (f files) String() string { return strings.Join(*f.target, " ") }

// minVersion is a version, or @ and a file.
func minVersion(target *string) value {
	return checked(target, func(s string) error {
		path, inFile := strings.CutPrefix(s, "@")
		if s == "" || inFile && path != "" || !inFile && journal.VersionProblem(s) == "" {
			return nil
		}
		return fmt.Errorf("want a version such as 1.2.3, or @ and a file that holds one, %s", got(s))
	})
}
