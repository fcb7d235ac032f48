package config_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"otad/board/config"
)

// Where a state directory comes from does not matter, only that it was named.
func TestStateDirIsGivenByAnySource(t *testing.T) {
	file := filepath.Join(t.TempDir(), "otad.conf")
	if err := os.WriteFile(file, []byte("state-dir /var/lib/otad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args, env []string
		want      bool
	}{
		"flag":     {[]string{"status", "-state-dir", "/var/lib/otad"}, nil, true},
		"variable": {[]string{"status"}, []string{"OTAD_STATE_DIR=/var/lib/otad"}, true},
		"file":     {[]string{"status", "-config", file}, nil, true},
		"none":     {[]string{"status", "-json"}, nil, false},
	} {
		c, err := config.Parse(test.args, test.env, io.Discard)
		if err != nil || c.DirGiven != test.want || c.StateDir != "/var/lib/otad" {
			t.Errorf("%s: %v, given %v, want %v", name, err, c.DirGiven, test.want)
		}
	}
}
