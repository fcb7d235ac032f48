package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"otad/board/config"
	"otad/fsm"
	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// The tests here run the real binary: this test program is its own otad when it
// is started with this variable set.
const beOtad = "OTAD_TEST_BE_OTAD"

func TestMain(m *testing.M) {
	if os.Getenv(beOtad) != "" {
		os.Unsetenv(beOtad)
		main()
	}
	os.Exit(m.Run())
}

// otad returns a command that runs the real main in a process of its own.
func otad(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	cmd := otadrun.Command(self, args...)
	cmd.Env = append(os.Environ(), beOtad+"=1")
	return cmd
}

// check ends the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start starts cmd, which is killed at the end of the test.
func start(t *testing.T, cmd *exec.Cmd) *otadrun.Process {
	t.Helper()
	p, err := otadrun.Start(cmd)
	check(t, err)
	t.Cleanup(func() { p.Kill() })
	return p
}

// outcome runs cmd to its end.
func outcome(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	r := start(t, cmd).Wait()
	return r.Code, r.Stdout, r.Stderr
}

const interval = 1 << 20 // the default checkpoint interval in bytes

// One download is killed at many different points of it. What SIGKILL cannot
// show, the page cache's loss, is the business of the crash-state tests.
func TestEveryResumeStartsAtTheLastCheckpoint(t *testing.T) {
	t.Parallel()
	const kills = 24
	object := origintest.Object{Size: 48<<20 + 12345, Seed: 1}
	// The link is slow enough for the kills to land all over the download.
	origin := origintest.NewConfig(t, origintest.Config{Object: object, Link: origintest.Link{BytesPerSecond: 24 << 20}})
	dir, digest := t.TempDir(), object.MD5() // once: it takes half a second of a race build
	fetch := func() *exec.Cmd {
		return otad(t, otadrun.FetchArgs(dir, digest, origin.URL(), "-quiet", "-name", "p.bin",
			"-size", strconv.FormatInt(object.Size, 10), "-checkpoint-interval", "0")...)
	}
	part := filepath.Join(dir, "p.bin.otad-part")
	var stored []int64 // bytes in the file when each process was killed
	for i := range kills {
		process := start(t, fetch())
		// From one to almost two checkpoints on: anywhere between two of them, and
		// never ten times in a row without one, which otad takes for a crash loop.
		waitFor(t, origin, i+1, interval+int64(i)*interval/kills)
		process.Kill()
		size, err := otadrun.FileSize(part)
		if err != nil || size < 0 {
			t.Fatalf("after kill %d: partial file of %d bytes: %v", i, size, err)
		}
		stored = append(stored, size)
	}
	code, out, errs := outcome(t, fetch())
	if code != 0 {
		t.Fatalf("the last run ended with %d: %s", code, errs)
	}
	got, err := os.ReadFile(strings.TrimSpace(out))
	check(t, err)
	want := make([]byte, object.Size)
	object.ReadAt(want, 0)
	if !bytes.Equal(got, want) {
		t.Fatal("the package is not what the origin has")
	}
	requests := origin.Requests()
	if len(requests) != kills+1 {
		t.Fatalf("%d requests for %d processes", len(requests), kills+1)
	}
	var twice int64
	for i, r := range requests[1:] {
		if r.Start%interval != 0 {
			t.Errorf("process %d went on from %d with %d bytes stored: no checkpoint of them", i+2, r.Start, stored[i])
		}
		again := stored[i] - r.Start
		if again < 0 || again > 2*interval {
			t.Errorf("process %d asked for %d stored bytes again, more than two intervals", i+2, again)
		}
		twice += again
	}
	t.Logf("%d kills, %d stored bytes asked for again in all, %d at the most allowed", kills, twice, 2*kills*interval)
}

// waitFor waits until more than n bytes of the response to the request-th request
// have left the origin.
func waitFor(t *testing.T, origin *origintest.Origin, request int, n int64) {
	t.Helper()
	if err := otadrun.Await(30*time.Second, fmt.Sprintf("request %d comes to %d bytes", request, n), func() (bool, error) {
		seen := origin.Requests()
		return len(seen) >= request && seen[request-1].BodyBytes > n, nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestBadInputIsOneClearLineAndTouchesNothing(t *testing.T) {
	md5 := strings.Repeat("0a", 16)
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	headerConf := filepath.Join(t.TempDir(), "otad.conf")
	check(t, os.WriteFile(headerConf, []byte("header-file main.go\n"), 0o600))
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no command", nil, 2, "command"},
		{"unknown command", []string{"fetsh"}, 2, "fetsh"},
		{"unknown flag", []string{"fetch", "-speed", "9", "https://h/p"}, 2, "-speed"},
		{"malformed MD5", []string{"fetch", "-state-dir", dir, "-md5", "xyz", "https://h/p.bin"}, 2, "-md5"},
		{"no digest", []string{"fetch", "-state-dir", dir, "https://h/p.bin"}, 2, "-md5"},
		{"no URL", []string{"fetch", "-state-dir", dir, "-md5", md5}, 2, "URL"},
		{"not a URL", []string{"fetch", "-state-dir", dir, "-md5", md5, "-name", "p", "::"}, 2, "URL"},
		{"another scheme", []string{"fetch", "-state-dir", dir, "-md5", md5, "ftp://h/p.bin"}, 2, "ftp"},
		{"http to a foreign host", []string{"fetch", "-state-dir", dir, "-md5", md5, "http://example.com/p.bin"}, 2, "-allow-http"},
		{"no state directory", []string{"fetch", "-state-dir", dir + "/missing", "-md5", md5, "https://h/p.bin"}, 2, dir + "/missing"},
		{"a file for a state directory", []string{"serve", "-state-dir", "main.go", "-listen", "127.0.0.1:0"}, 2, "main.go"},
		{"an address in use", []string{"serve", "-state-dir", t.TempDir(), "-listen", taken.Addr().String()}, 2, taken.Addr().String()},
		{"a header file for everybody", []string{"serve", "-state-dir", dir, "-header-file", "main.go"}, 2, "main.go has mode"},
		{"check-config of an unknown key", []string{"check-config", "-config", "LICENSE"}, 2, "LICENSE:1: unknown key"},
		{"check-config of a header file for everybody", []string{"check-config", "-config", headerConf}, 2, "main.go has mode"},
		{"unknown picture", []string{"graph", "-format", "svg"}, 2, "svg"},
		{"status of nothing", []string{"status", "-state-dir", dir, "-listen", "127.0.0.1:1"}, 3, dir},
		{"status of no directory", []string{"status", "-state-dir", dir + "/missing", "-listen", "127.0.0.1:1"}, 2, dir + "/missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := outcome(t, otad(t, c.args...))
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if strings.Count(errs, "\n") != 1 || !strings.Contains(errs, c.says) {
				t.Errorf("stderr %q is not one line that says %q", errs, c.says)
			}
			if out != "" {
				t.Errorf("stdout %q", out)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("the state directory holds %v (%v)", left, err)
			}
		})
	}
}

// A disk that is full of something else is not the package's.
func TestResultThatStdoutCannotTakeIsNoFullDisk(t *testing.T) {
	object := origintest.Object{Size: 1 << 20, Seed: 2}
	origin, dir := origintest.New(t, object), t.TempDir()
	for name, args := range map[string][]string{
		"graph": {"graph"}, "version": {"version"},
		"fetch": {"fetch", "-quiet", "-state-dir", dir, "-name", "p.bin", "-md5", object.MD5(), origin.URL()},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		check(t, err)
		cmd := otad(t, args...)
		cmd.Stdout = full
		code, _, errs := outcome(t, cmd)
		full.Close()
		if code != 2 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "cannot be written to stdout") {
			t.Errorf("%s: exit code %d, stderr %q", name, code, errs)
		}
		if name == "fetch" && !strings.Contains(errs, filepath.Join(dir, "p.bin")+" is ready") {
			t.Errorf("fetch does not say where the package is: %q", errs)
		}
	}
}

func TestExitCodeIsTheResult(t *testing.T) {
	object := origintest.Object{Size: 3 << 20, Seed: 2}
	wrong := strings.Repeat("0", 32)
	for _, c := range []struct {
		name   string
		args   []string
		script []*origintest.Rule
		code   int
		says   string
		part   bool // is the partial file kept?
	}{
		{"ready", []string{"-md5", object.MD5()}, nil, 0, "", false},
		{"not found", []string{"-md5", object.MD5()}, []*origintest.Rule{origintest.Always().Status(404)}, 1, "DOWNLOAD_FAILED: HTTP 404", false},
		{"URL expired in the middle", []string{"-md5", object.MD5()},
			[]*origintest.Rule{origintest.On(1).ResetAt(2 << 20), origintest.From(2).ExpiredAWS()}, 1, "DOWNLOAD_FAILED: URL_EXPIRED", true},
		{"other MD5", []string{"-md5", wrong}, nil, 3, "MD5_MISMATCH: expected " + wrong + ", got " + object.MD5(), false},
		{"other SHA-256", []string{"-sha256", strings.Repeat("0", 64)}, nil, 3, "SHA256_MISMATCH", false},
		{"other size", []string{"-md5", object.MD5(), "-size", "1000"}, nil, 3, "PACKAGE_SIZE_MISMATCH", false},
		{"no space", []string{"-md5", object.MD5(), "-min-free", "4EiB"}, nil, 4, "DISK_FULL: need 3145728 bytes, 0 free", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			origin := origintest.New(t, object, c.script...)
			dir := t.TempDir()
			args := append([]string{"fetch", "-quiet", "-state-dir", dir, "-name", "p.bin"}, c.args...)
			code, _, errs := outcome(t, otad(t, append(args, origin.URL())...))
			if code != c.code || !strings.Contains(errs, c.says) || strings.Count(errs, "\n") > 1 {
				t.Errorf("exit code %d, stderr %q; want %d and one line with %q", code, errs, c.code, c.says)
			}
			_, err := os.Stat(filepath.Join(dir, "p.bin.otad-part"))
			if kept := err == nil; kept != c.part {
				t.Errorf("partial file kept: %v, want %v", kept, c.part)
			}
			_, err = os.Stat(filepath.Join(dir, "p.bin"))
			if published := err == nil; published != (c.code == 0) {
				t.Errorf("package published: %v with exit code %d", published, code)
			}
		})
	}
}

func TestSecondOtadOnTheSameStateDirectoryIsTurnedAway(t *testing.T) {
	t.Parallel()
	object := origintest.Object{Size: 1 << 20, Seed: 3}
	origin := origintest.New(t, object, origintest.Always().StallAt(1000))
	args := []string{"fetch", "-quiet", "-state-dir", t.TempDir(), "-name", "p.bin", "-md5", object.MD5(), origin.URL()}
	first := start(t, otad(t, args...))
	<-origin.Stalled()
	if code, _, errs := outcome(t, otad(t, args...)); code != 5 || strings.Count(errs, "\n") != 1 {
		t.Errorf("the second ended with %d: %q", code, errs)
	}
	// The first is none the worse for it, and a signal ends it in time.
	begun := time.Now()
	if r, err := first.Stop(30 * time.Second); err != nil || r.Code != 75 {
		t.Errorf("stopped by SIGTERM with exit code %d: %v", r.Code, err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestUnfinishedPackageIsNotGivenUpByAccident(t *testing.T) {
	t.Parallel()
	object, other := origintest.Object{Size: 3 << 20, Seed: 4}, origintest.Object{Size: 1 << 20, Seed: 5}
	origin := origintest.New(t, object, origintest.On(1).ResetAt(2<<20), origintest.On(2).Status(500), origintest.From(3).Replace(other))
	dir := t.TempDir()
	fetch := func(name, md5 string, more ...string) (int, string) {
		args := append([]string{"fetch", "-quiet", "-state-dir", dir, "-name", name, "-md5", md5}, more...)
		code, _, errs := outcome(t, otad(t, append(args, origin.URL())...))
		return code, errs
	}
	if code, errs := fetch("a.bin", object.MD5()); code != 1 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if code, errs := fetch("b.bin", other.MD5()); code != 2 || !strings.Contains(errs, "-replace") || !strings.Contains(errs, "a.bin") {
		t.Errorf("another package: exit code %d, %q", code, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "a.bin.otad-part")); err != nil {
		t.Errorf("the unfinished package is gone: %v", err)
	}
	if code, errs := fetch("b.bin", other.MD5(), "-replace"); code != 0 {
		t.Errorf("with -replace: exit code %d, %q", code, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "a.bin.otad-part")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the replaced partial file is still there: %v", err)
	}
}

func TestSampleConfigIsAccepted(t *testing.T) {
	sample, err := os.ReadFile("board/init/otad.conf")
	check(t, err)
	// As it is, and with every example switched on.
	everything := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAll(sample, []byte("$1"))
	for _, content := range [][]byte{sample, everything} {
		path := filepath.Join(t.TempDir(), "otad.conf")
		check(t, os.WriteFile(path, content, 0o644))
		if _, err := config.Parse([]string{"serve", "-config", path}, nil, io.Discard); err != nil {
			t.Error(err)
		}
	}
	if bytes.Equal(sample, everything) {
		t.Error("the sample has no examples")
	}
}

// arrows lists the packages of this module that each package may import.
var arrows = map[string][]string{
	"hashing":          nil,
	"journal":          nil,
	"netio":            nil,
	"netio/origintest": nil,
	"metrics":          nil,
	"board/storage":    nil,
	"board/systemd":    nil,
	"board/config":     {"fsm", "journal", "netio"},
	"board/console":    nil,
	"board/installer":  {"fsm", "journal", "metrics", "netio"},
	"fsm":              {"hashing", "journal", "metrics", "netio"},
	"board/deviceapi":  {"fsm", "journal", "netio"},
	"board/package":    {"board/config"},
	"board/app":        {"board/storage", "board/systemd", "board/config", "board/console", "board/deviceapi", "board/installer", "fsm", "journal", "metrics", "netio"},
	".":                {"board/storage", "board/app", "board/config", "fsm", "journal"},
}

func TestRoomsImportOnlyWhatTheDrawingSays(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		room := filepath.ToSlash(filepath.Dir(path))
		allowed, drawn := arrows[room]
		if !drawn {
			t.Errorf("%s is in a room that the drawing does not have", path)
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if to, ours := strings.CutPrefix(imported, "otad/"); ours && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: no arrow from %s", path, to, room)
			}
		}
		return nil
	})
	check(t, err)
}

func TestReadmeShowsTheMachineAsItIs(t *testing.T) {
	const page = "board/deviceapi/README.md"
	readme, err := os.ReadFile(page)
	check(t, err)
	diagram, err := fsm.Diagram("mermaid")
	check(t, err)
	if want := fmt.Sprintf("```mermaid\n%s```\n", diagram); !strings.Contains(string(readme), want) {
		t.Errorf("%s does not have the machine as otad graph prints it:\n%s", page, want)
	}
}
