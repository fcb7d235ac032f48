package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"otad/board/config"
)

// complete returns what a real bash offers for the last of words. Bash passes
// "-name=value" as three words.
func complete(t *testing.T, dir string, words ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	script, err := completion()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "otad.bash")
	if err := os.WriteFile(file, script, 0o644); err != nil {
		t.Fatal(err)
	}
	// The function is the one that bash has registered for otad, under the name
	// that "complete -p" prints.
	cmd := exec.Command("bash", append([]string{"--norc", "-c", `
		set -u
		. "$0"
		function=$(complete -p otad | sed 's/.*-F \([^ ]*\) otad/\1/')
		COMP_WORDS=(otad "$@") COMP_CWORD=$#
		"$function" otad "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
		printf '%s\n' "${COMPREPLY[@]}"`, file}, words...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", words, err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestBashCompletes(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"my key.pem", "my.conf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "mydata"), 0o755); err != nil {
		t.Fatal(err)
	}
	nothing := []string{""}
	for _, c := range []struct {
		name  string
		words []string
		want  []string
	}{
		{"commands", []string{"s"}, []string{"serve", "status"}},
		{"every command", []string{""}, []string{"serve", "fetch", "status", "graph", "check-config", "version", "help"}},
		{"commands of help", []string{"help", "f"}, []string{"fetch"}},
		{"flags of the command", []string{"fetch", "-re"}, []string{"-retries", "-read-timeout", "-retry-status", "-retry-after-max", "-readback", "-replace"}},
		{"no flag of another command", []string{"serve", "-repl"}, nothing},
		{"a flag after a boolean", []string{"status", "-json", "-lo"}, []string{"-log-format", "-log-level"}},
		{"a choice", []string{"serve", "-log-level", ""}, []string{"debug", "info", "warn", "error"}},
		{"a choice after =", []string{"serve", "-log-format", "=", "j"}, []string{"json"}},
		{"a choice after = alone", []string{"graph", "-format", "="}, []string{"mermaid", "dot"}},
		{"two dashes", []string{"graph", "--format", "d"}, []string{"dot"}},
		{"a file with a space", []string{"fetch", "-ca-file", "my k"}, []string{"my key.pem"}},
		{"a directory", []string{"serve", "-state-dir", "my"}, []string{"mydata"}},
		{"any text", []string{"fetch", "-md5", "-"}, nothing},
		{"an unknown command", []string{"nonsense", "-"}, nothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := complete(t, dir, c.words...); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	var own []string
	for _, f := range config.Flags() {
		if slices.Contains(f.Commands, "serve") {
			own = append(own, "-"+f.Name)
		}
	}
	if got := complete(t, dir, "serve", "-"); !slices.Equal(got, own) {
		t.Errorf("serve: got %q, want %q", got, own)
	}
}
