package installer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script in the README is run as it is, but for its paths.
func TestReadmeScriptDoesWhatItSays(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	check(t, err)
	_, text, found := strings.Cut(string(readme), "```sh\n#!/bin/sh\n")
	text, _, ends := strings.Cut(text, "```")
	if !found || !ends {
		t.Fatal("there is no script in README.md")
	}
	for name, tt := range map[string]struct {
		running, event string
		moving, breaks bool
		code           int
		line           string
	}{
		"installed":        {"1.0.0", "ready", false, false, 10, "written"},
		"it runs already":  {"1.2.3", "ready", false, false, 0, ""},
		"not now":          {"1.0.0", "ready", true, false, 75, ""},
		"cannot write":     {"1.0.0", "ready", false, true, 1, "no slot"},
		"the reboot works": {"1.2.3", "rebooted", false, false, 0, ""},
		"rolled back":      {"1.0.0", "rebooted", false, false, 1, "1.0.0 runs"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			check(t, os.WriteFile(filepath.Join(dir, "version"), []byte(tt.running+"\n"), 0o644))
			if tt.moving {
				check(t, os.WriteFile(filepath.Join(dir, "moving"), nil, 0o644))
			}
			write := "#!/bin/sh\necho written\n"
			if tt.breaks {
				write = "#!/bin/sh\necho no slot\nexit 9\n"
			}
			check(t, os.WriteFile(filepath.Join(dir, "write-to-other-slot"), []byte(write), 0o755))
			script := strings.NewReplacer("/etc/board-version", dir+"/version", "/run/moving", dir+"/moving", "sleep 5; reboot", ":").Replace(text)
			cmd := exec.Command("/bin/sh", "-c", script)
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "OTAD_EVENT=" + tt.event, "OTAD_VERSION=1.2.3", "OTAD_PACKAGE=/p"}
			out, _ := cmd.CombinedOutput() // its error is the exit code
			if code := cmd.ProcessState.ExitCode(); code != tt.code || strings.TrimSpace(string(out)) != tt.line {
				t.Errorf("exit %d, %q; want %d, %q", code, out, tt.code, tt.line)
			}
		})
	}
}
