package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"otad/board/config"
)

func TestInstallFlagsArriveFromEverySource(t *testing.T) {
	want := config.Install{Command: []string{"/usr/lib/otad/install", "-v", "a"}, When: "on-request",
		Timeout: time.Hour, Grace: 0, MaxAge: 48 * time.Hour}
	settings := []string{"on-ready /usr/lib/otad/install  -v a", "on-ready-timeout 1h", "on-ready-grace 0s", "install on-request", "ready-max-age 48h"}
	var flags, environment []string
	for _, s := range settings {
		name, text, _ := strings.Cut(s, " ")
		flags = append(flags, "-"+name+"="+text)
		environment = append(environment, "OTAD_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+text)
	}
	for source, c := range map[string]*config.Config{
		"flag":        parse(t, append([]string{"serve"}, flags...)...),
		"environment": parseWith(t, environment, "serve"),
		"file":        parse(t, "serve", "-config", file(t, settings...)),
	} {
		if got := c.Serve.Install; !reflect.DeepEqual(got, want) {
			t.Errorf("from the %s: got %+v, want %+v", source, got, want)
		}
	}
}

func TestInstallFlagsThatCannotBeMeant(t *testing.T) {
	for args, says := range map[string]string{
		"-on-ready=install":                         "absolute path",
		"-on-ready=./install":                       "absolute path",
		"-on-ready=":                                "want a command",
		"-install=later":                            "auto or on-request",
		"-install=on-request":                       "needs -on-ready",
		"-ready-max-age=48h":                        "needs -on-ready",
		"-on-ready=/bin/true -ready-max-age=1s":     "at least 1m",
		"-on-ready=/bin/true -on-ready-timeout=0":   "above 0",
		"-on-ready=/bin/true -on-ready-grace=-1s":   "0 or more",
		"-on-ready=https://user:secret@h/install?s": "got a URL",
	} {
		_, err := config.Parse(append([]string{"serve"}, strings.Split(args, " ")...), nil, nil)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", args, err, says)
		}
	}
}

// The commands share a file.
func TestInstallFlagsAreCheckedWhereTheyCount(t *testing.T) {
	conf := file(t, "install on-request")
	for _, name := range []string{"serve", "check-config"} {
		if _, err := config.Parse([]string{name, "-config", conf}, nil, nil); err == nil {
			t.Errorf("%s takes them", name)
		}
	}
	parse(t, "status", "-config", conf)
	parse(t, append(command("fetch"), "-config", conf)...)
}

// A command that otad runs may call otad: the variables are those of its package.
func TestEnvironmentOfAnInstallerIsNoConfiguration(t *testing.T) {
	own := []string{"OTAD_EVENT=ready", "OTAD_VERSION=9.9.9", "OTAD_NAME=a/b", "OTAD_SIZE=x", "OTAD_MD5=x", "OTAD_PACKAGE=/p", "OTAD_STATE_DIR=/other"}
	c := parseWith(t, own, "status")
	if c.StateDir != "/var/lib/otad" || len(c.Warnings) > 0 {
		t.Errorf("taken from the environment of an installer: %+v", c)
	}
	if _, err := config.Parse([]string{"status"}, own[1:], nil); err == nil {
		t.Error("without OTAD_EVENT the same variables are no error: nothing is tested here")
	}
}
