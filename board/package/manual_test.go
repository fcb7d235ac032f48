package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"otad/board/config"
)

const mainFile = "../../main.go"

func TestManualHasEveryFlagCommandAndExitCode(t *testing.T) {
	page, err := manual(mainFile, time.Unix(1e9, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	has := func(line string) {
		t.Helper()
		if !strings.Contains(string(page), "\n"+line+"\n") {
			t.Errorf("the man page lacks the line %q", line)
		}
	}
	for _, f := range config.Flags() {
		has(strings.TrimSuffix(".It Fl "+f.Name+" Ar "+f.Arg, " Ar "))
	}
	for _, c := range config.Commands() {
		has(".It Cm " + c.Name + operands(c.Operands))
	}
	for _, code := range []string{"0", "1", "2", "3", "4", "5", "75"} {
		has(".It " + code)
	}
	has("the digest, the size or the signature of the package is not as it has to be")
	if text := strings.Join(strings.Fields(string(page)), " "); !strings.Contains(text, "from the last checkpoint (serve ends with 0) .El") {
		t.Error("the second line of a row of exit codes is lost")
	}
	if !strings.HasPrefix(string(page), ".Dd September 9, 2001\n") {
		t.Errorf("the date is %.40q", page)
	}
}

// Each reader of man pages has its own opinion of them. make test-package
// installs both.
func TestManualIsCleanForTheReadersOfManPages(t *testing.T) {
	page, err := manual(mainFile, time.Unix(1e9, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "otad.8")
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, reader := range [][]string{
		{"mandoc", "-T", "lint", "-W", "style", file},
		{"man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", file},
	} {
		t.Run(reader[0], func(t *testing.T) {
			if _, err := exec.LookPath(reader[0]); err != nil {
				t.Skip(err)
			}
			cmd := exec.Command(reader[0], reader[1:]...)
			cmd.Env = append(os.Environ(), "MANROFFSEQ=")
			var out bytes.Buffer
			cmd.Stderr = &out
			if reader[0] == "mandoc" {
				cmd.Stdout = &out
			}
			err := cmd.Run()
			for line := range strings.Lines(out.String()) {
				// Whether this machine has the pages that it refers to is not its matter.
				if !strings.Contains(line, "mandoc.db") && !strings.Contains(line, "referenced manual not found") {
					t.Errorf("%s", line)
				}
			}
			if _, ended := err.(*exec.ExitError); err != nil && !ended {
				t.Error(err)
			}
		})
	}
}

func TestTextCannotBeMistakenForRoff(t *testing.T) {
	for text, want := range map[string]string{
		"the -md5 of":                     `the \-md5 of`,
		`a \n b`:                          `a \en b`,
		".Dd is text":                     `\&.Dd is text`,
		"One. Two":                        "One.\nTwo",
		strings.Repeat("word ", 16) + "x": strings.Repeat("word ", 15) + "word\nx",
	} {
		if got := roff(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
