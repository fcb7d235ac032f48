package servers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

// recipe returns the commands under a heading of the README, as they are pasted
// into a shell.
func recipe(t *testing.T, heading string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	check(t, err)
	_, section, _ := strings.Cut(string(readme), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, after, _ := strings.Cut(section, "```sh\n")
	commands, _, found := strings.Cut(after, "```\n")
	if !found {
		t.Fatalf("README.md has no commands under %q", heading)
	}
	return commands
}

// paste runs commands by bash in dir, where otad is the binary under test.
// What a user would set otherwise, an address for example, comes in variables.
func paste(t *testing.T, dir, commands string, env ...string) *otadrun.Process {
	t.Helper()
	program, err := otadPath()
	check(t, err)
	bin := t.TempDir()
	check(t, os.Symlink(program, filepath.Join(bin, "otad")))
	cmd := otadrun.Command("bash", "-euc", commands)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, "PATH="+bin+":"+os.Getenv("PATH"))...)
	p, err := otadrun.Start(cmd)
	check(t, err)
	t.Cleanup(func() { p.Kill() })
	return p
}

// The package is behind an origin that is overloaded for longer than one try
// lasts, and then refuses in passing.
func TestRecipeOfABoardThatNeverGivesUp(t *testing.T) {
	t.Parallel()
	p := newPackage(t, filepath.Join(t.TempDir(), packageName), interval+1, time.Now())
	var requests atomic.Int32
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := requests.Add(1); {
		case n <= 4: // one more than a try has retries
			http.Error(w, "overloaded", http.StatusServiceUnavailable)
		case n == 5:
			http.Error(w, "passing", http.StatusInternalServerError)
		default:
			http.ServeFile(w, r, p.path)
		}
	}))
	defer origin.Close()
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(t, err)
	dir := t.TempDir()
	serve := paste(t, dir, "exec "+recipe(t, "A board that must never give up"), "OTAD_STATE_DIR="+dir, "OTAD_LISTEN="+addr)
	check(t, serve.AwaitListener(addr, patience))
	client := otadrun.NewClient(addr)
	defer client.Close()
	if got, err := client.Post(t.Context(), otadrun.Job{Version: "1.2.3", Name: packageName, URL: origin.URL, Size: p.size, MD5: p.md5}); err != nil || got.Err() != nil {
		t.Fatalf("POST: %v, %v", err, got.Err())
	}
	if _, err := client.AwaitState(t.Context(), "Ready", time.Minute); err != nil {
		t.Fatalf("after %d requests: %v", requests.Load(), err)
	}
	if n := requests.Load(); n != 6 {
		t.Errorf("%d requests, want four refused, one that failed in passing and the last", n)
	}
}

// Debian's awscli signs the URL, and versitygw takes Amazon's place.
func TestRecipeOfS3(t *testing.T) {
	t.Parallel()
	o := newS3Origin(t)
	dir := openDir(t)
	p := newPackage(t, filepath.Join(dir, "u.zip"), interval+1, time.Now())
	o.put(t, "/u.zip", p)
	state := t.TempDir()
	result := paste(t, dir, fmt.Sprintf("aws() { command aws --endpoint-url https://%s \"$@\"; }\n", o.listens)+recipe(t, "S3"),
		"AWS_ACCESS_KEY_ID="+o.Access, "AWS_SECRET_ACCESS_KEY="+o.Secret, "AWS_DEFAULT_REGION="+o.Region,
		"OTAD_STATE_DIR="+state, "OTAD_CA_FILE="+o.CA).Wait()
	check(t, result.Err())
	if got := strings.TrimSpace(result.Stdout); got != filepath.Join(state, "u.zip") {
		t.Errorf("stdout is %q", got)
	}
	if got, err := otadrun.MD5(filepath.Join(state, "u.zip")); err != nil || got != p.md5 {
		t.Errorf("digest %s, %v, want %s", got, err, p.md5)
	}
}
