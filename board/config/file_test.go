package config_test

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"otad/board/config"
)

func TestConfigFileForm(t *testing.T) {
	path := file(t,
		"# otad on this board",
		"",
		"  # indented",
		"retries\t5\r",
		"  state-dir   /data/with space and #  ",
		"readback",
		"allow-http false",
		"md5 "+md5, // of another command: the file is shared
		"json",
		"format dot") // no end of line
	got := parse(t, "serve", "-config", path)
	if got.Machine.Retries != 5 || got.StateDir != "/data/with space and #" || !got.Machine.Readback || got.Source.AllowHTTP {
		t.Errorf("got %+v", got)
	}
	if got := parse(t, "graph", "-config", path); got.Format != "dot" {
		t.Errorf("graph: got format %q", got.Format)
	}
}

func TestRefusedConfigFiles(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  []string
	}{
		{"unknown key", []string{"retries 1", "", "retrys 3"}, []string{":3: unknown key", `"retrys"`, "did you mean retries?"}},
		{"key with a dash", []string{"-retries 3"}, []string{":1: unknown key", "did you mean retries?"}},
		{"equals sign", []string{"retries=3"}, []string{":1: unknown key", "did you mean retries?"}},
		{"no value", []string{"retries"}, []string{":1: retries needs a value"}},
		{"set twice", []string{"retries 1", "readback", "retries 2"}, []string{":3: retries is set twice"}},
		{"another file", []string{"config /etc/other"}, []string{":1: config cannot be set"}},
		{"bad boolean", []string{"readback maybe"}, []string{":1: readback: want true or false"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := file(t, test.lines...)
			for _, args := range [][]string{{"check-config"}, command("fetch")} {
				refuse(t, nil, append(args, "-config", path), append(test.want, path)...)
			}
			if !strings.Contains(test.want[0], "unknown key") { // serve warns of those
				refuse(t, nil, []string{"serve", "-config", path}, append(test.want, path)...)
			}
		})
	}
}

func TestConfigFileThatIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	refuse(t, []string{"OTAD_CONFIG=" + path}, []string{"serve"}, "OTAD_CONFIG: ", path)
	_, err := config.Parse([]string{"serve", "-config", path}, nil, io.Discard)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want an error that is fs.ErrNotExist", err)
	}
	parseWith(t, []string{"OTAD_CONFIG=" + path}, "serve", "-config", "") // no file is wanted
}
