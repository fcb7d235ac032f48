package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// The values of -install.
const (
	installAuto      = "auto"
	installOnRequest = "on-request"
)

func defaultInstall() Install {
	return Install{When: installAuto, Timeout: 30 * time.Minute, Grace: time.Minute}
}

func installOptions(i *Install) []option {
	return []option{
		{"on-ready", "COMMAND", inServe, words(&i.Command), "command that installs a package that is Ready: an absolute path and its arguments, without a shell"},
		{"on-ready-timeout", "DURATION", inServe, duration(&i.Timeout, 1), "longest run of that command"},
		{"on-ready-grace", "DURATION", inServe, duration(&i.Grace, 0), "how long a stop of otad waits for that command"},
		{"install", "WHEN", inServe, choice(&i.When, installAuto, installOnRequest), "when that command runs: auto, as soon as a package is Ready, or on-request, after POST /api/v1.0/update"},
		{"ready-max-age", "DURATION", inServe, offOr(time.Minute, &i.MaxAge), "a package that has been Ready for longer is not installed, 0 for no limit; counted while the board is on"},
	}
}

// OnRequest reports whether a package waits for a request to be installed.
func (i Install) OnRequest() bool { return i.When == installOnRequest }

// check checks the rules between the flags.
func (i Install) check() error {
	switch {
	case len(i.Command) > 0:
		return nil
	case i.OnRequest():
		return usagef("-install %s needs -on-ready: there is nothing that installs", installOnRequest)
	case i.MaxAge > 0:
		return usagef("-ready-max-age needs -on-ready: there is nothing that installs")
	}
	return nil
}

// words is a command without a shell, split at spaces.
func words(target *[]string) value {
	return field[[]string]{target, func(s string) ([]string, error) {
		list := strings.Fields(s)
		switch {
		case len(list) == 0:
			return nil, errors.New("want a command, got nothing")
		case !filepath.IsAbs(list[0]):
			return nil, fmt.Errorf("want a command with an absolute path, such as /usr/lib/otad/install, %s", got(list[0]))
		}
		return list, nil
	}, func(list []string) string { return strings.Join(list, " ") }}
}

// isEvent reports whether an entry of the environment shows that it is that of an
// installer command, whose OTAD_ variables are about its package.
func isEvent(entry string) bool { return strings.HasPrefix(entry, "OTAD_EVENT=") }
