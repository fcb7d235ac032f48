package app_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"otad/board/app"
	"otad/board/config"
	"otad/netio/origintest"
)

// stream returns the file as JOURNAL_STREAM names it.
func stream(t *testing.T, f *os.File) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journalctl -p err shows a failed job, and nothing of one that is well.
func TestLinesHaveTheirPriorityInTheJournal(t *testing.T) {
	for _, test := range []struct {
		name, format string
		journald     bool
	}{{"journald", "text", true}, {"journald, JSON", "json", true}, {"a file", "text", false}} {
		t.Run(test.name, func(t *testing.T) {
			stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			if err != nil {
				t.Fatal(err)
			}
			defer stderr.Close()
			t.Setenv("JOURNAL_STREAM", "1:1")
			if test.journald {
				t.Setenv("JOURNAL_STREAM", stream(t, stderr))
			}
			cfg, err := config.Parse([]string{"fetch", "-log-format", test.format, "-state-dir", t.TempDir(), "-name", "u.bin",
				"-retries", "0", "-min-free", "0", "-md5", object.MD5(), origintest.New(t, object, origintest.Always().Status(404)).URL()}, nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			failed := app.Run(context.Background(), cfg, app.Build{}, nil, stderr)
			if failed == nil {
				t.Fatal("no error")
			}
			app.PrintError(stderr, failed)
			if _, err := stderr.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			written, err := io.ReadAll(stderr)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(written)), "\n")
			want := map[bool]string{true: `^<[346]>`, false: `^(time=|otad: )`}[test.journald]
			for _, line := range lines {
				if !regexp.MustCompile(want).MatchString(line) {
					t.Errorf("%q does not begin with %s", line, want)
				}
			}
			if !test.journald {
				return
			}
			for text, priority := range map[string]string{"transition": "<6>", "otad: DOWNLOAD_FAILED": "<3>"} {
				if !regexp.MustCompile(`(?m)^` + priority + `.*` + text).Match(written) {
					t.Errorf("no line with %q has the priority %s:\n%s", text, priority, written)
				}
			}
		})
	}
}
