package installer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"otad/journal"
	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// The tests here run the real otad with real commands.

// binary is the otad that is built from this source.
var binary string

func TestMain(m *testing.M) {
	os.Exit(otadrun.WithBinary(&binary, m.Run))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// realBoard is a state directory with a package that is Ready.
type realBoard struct {
	t       *testing.T
	dir     string
	command string // the installer
	notes   string // directory where it writes
	addr    string
	*otadrun.Process
}

const version = "1.2.3"

// newRealBoard fetches a package. text is the script that installs it; in it NOTES
// is a directory to write to.
func newRealBoard(t *testing.T, text string) *realBoard {
	t.Helper()
	t.Parallel()
	b := &realBoard{t: t, dir: t.TempDir(), notes: t.TempDir()}
	object := origintest.Object{Size: 1 << 20, Seed: 3}
	origin := origintest.New(t, object)
	cmd := otadrun.Command(binary, otadrun.FetchArgs(b.dir, object.MD5(), origin.URL(), "-quiet", "-name", "u.zip", "-version", version)...)
	p, err := otadrun.Start(cmd)
	check(t, err)
	if r := p.Wait(); r.Code != 0 {
		t.Fatalf("fetch: %s", r.Stderr)
	}
	b.command = filepath.Join(t.TempDir(), "install")
	text = strings.NewReplacer("NOTES", b.notes, "OTAD_BINARY", binary).Replace(text)
	check(t, os.WriteFile(b.command, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	t.Cleanup(b.end)
	return b
}

// serve starts otad.
func (b *realBoard) serve(flags ...string) {
	b.t.Helper()
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(b.t, err)
	b.addr = addr
	// The path of the directory may be relative.
	args := append([]string{"serve", "-state-dir", filepath.Base(b.dir), "-listen", addr, "-on-ready", b.command}, flags...)
	cmd := otadrun.Command(binary, args...)
	cmd.Dir = filepath.Dir(b.dir)
	b.Process, err = otadrun.Start(cmd)
	check(b.t, err)
	check(b.t, b.AwaitListener(addr, 30*time.Second))
}

// end kills otad and what it has started.
func (b *realBoard) end() {
	b.Kill()
	if rec, _, err := journal.Peek(b.dir); err == nil && rec.Install.PID > 0 {
		syscall.Kill(-rec.Install.PID, syscall.SIGKILL)
	}
}

type progress struct {
	Code int    `json:"code"`
	Msg  string `json:"msg"`
	Data struct {
		Stage, State, Message string
		Error                 *string
		Next                  *int `json:"next_try_seconds"`
	}
}

func (b *realBoard) progress() (p progress, err error) {
	resp, err := http.Get("http://" + b.addr + "/progress")
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	return p, json.NewDecoder(resp.Body).Decode(&p)
}

// await waits for a stage on the wire.
func (b *realBoard) await(stage string) (p progress) {
	b.t.Helper()
	check(b.t, b.Await(30*time.Second, "stage "+stage, func() (bool, error) {
		var err error
		p, err = b.progress()
		return p.Data.Stage == stage, err
	}))
	if p.Data.State != "Ready" {
		b.t.Errorf("in stage %s the machine is %s", stage, p.Data.State)
	}
	return p
}

// note waits for a file that the command writes, and returns its words.
func (b *realBoard) note(name string) []string {
	b.t.Helper()
	path := filepath.Join(b.notes, name)
	var text []byte
	check(b.t, b.Await(30*time.Second, "note "+name, func() (bool, error) {
		var err error
		text, err = os.ReadFile(path)
		return bytes.HasSuffix(text, []byte("\n")), ignoreMissing(err)
	}))
	return strings.Fields(string(text))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (b *realBoard) hasNote(name string) bool {
	_, err := os.Stat(filepath.Join(b.notes, name))
	return err == nil
}

func (b *realBoard) install() journal.Install {
	b.t.Helper()
	rec, _, err := journal.Peek(b.dir)
	check(b.t, err)
	return rec.Install
}

// reboot makes the journal one of an earlier boot.
func (b *realBoard) reboot() {
	b.t.Helper()
	d, err := os.Open(b.dir)
	check(b.t, err)
	defer d.Close()
	j, err := journal.Open(d, journal.Options{})
	check(b.t, err)
	_, err = j.Update(func(r *journal.Record) {
		if r.Install.Reboot != "" {
			r.Install.Reboot = "11111111-2222-3333-4444-555555555555"
		}
		r.Install.Boot = "11111111-2222-3333-4444-555555555555"
	})
	check(b.t, errors.Join(err, j.Close()))
}

func (b *realBoard) stop(limit time.Duration) otadrun.Result {
	b.t.Helper()
	r, err := b.Stop(limit)
	check(b.t, err)
	if r.Code != 0 {
		b.t.Errorf("stopped with %d: %s", r.Code, r.Stderr)
	}
	return r
}

func TestRealPackageIsInstalled(t *testing.T) {
	b := newRealBoard(t, `echo "$OTAD_EVENT $OTAD_VERSION $OTAD_ATTEMPT" > NOTES/env
md5sum < "$OTAD_PACKAGE" | cut -c1-32 > NOTES/md5
echo "$OTAD_MD5" > NOTES/want
OTAD_BINARY status -state-dir "$PWD" -listen 127.0.0.1:1 > NOTES/status 2>&1 || exit 1
echo "get https://h/p?secret=1"
kill -PIPE $$
echo "SIGPIPE is ignored"
exit 2`)
	b.serve("-install", "on-request")
	if got := b.await("toInstall"); got.Data.State != "Ready" {
		t.Errorf("%+v", got)
	}
	resp, err := http.Post("http://"+b.addr+"/api/v1.0/update", "application/json", strings.NewReader(`{"version":"`+version+`"}`))
	check(t, err)
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if want := `{"code":200,"msg":"success","data":{"status":"installing"}}`; strings.TrimSpace(string(body)) != want {
		t.Errorf("answered %s", body)
	}
	// The signal ends the command, which is tried again in a minute.
	check(t, b.Await(30*time.Second, "a wait", func() (bool, error) {
		p, err := b.progress()
		return p.Data.Message == "Installing, waiting for the next try" && p.Data.Next != nil && *p.Data.Next > 50, err
	}))
	if got := b.note("env"); !slices.Equal(got, []string{"ready", version, "1"}) {
		t.Errorf("the command got %v", got)
	}
	if got, want := b.note("md5"), b.note("want"); !slices.Equal(got, want) {
		t.Errorf("the package has the MD5 %s, want %s", got, want)
	}
	if got := b.note("status"); !slices.Contains(got, "Ready") {
		t.Errorf("otad status in the command: %v", got)
	}
	r := b.stop(5 * time.Second)
	if strings.Contains(r.Stderr, "job ended") {
		t.Errorf("the end of the download is reported again: %s", r.Stderr)
	}
	if strings.Contains(r.Stderr, "secret") || !strings.Contains(r.Stderr, `line="get https://h/p"`) {
		t.Errorf("the log shows a secret, or not the output: %s", r.Stderr)
	}
}

// The stages reach a receiver of callbacks in their order, also over a restart.
func TestStagesAreCalledBack(t *testing.T) {
	b := newRealBoard(t, `[ "$OTAD_EVENT" = ready ] && exit 10; echo "booted A"; exit 1`)
	var mu sync.Mutex
	var stages []string
	away := true
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if away {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var body struct {
			Stage string
			Error *string
		}
		json.NewDecoder(r.Body).Decode(&body)
		if body.Error != nil {
			body.Stage += " " + *body.Error
		}
		stages = append(stages, body.Stage)
	}))
	defer receiver.Close()
	b.serve("-callback-url", receiver.URL)
	b.await("rebooting")
	b.stop(5 * time.Second)
	b.serve("-callback-url", receiver.URL) // in the same boot nothing happens
	b.await("rebooting")
	b.stop(5 * time.Second)
	if in := b.install(); in.Attempt != 1 || in.State != "rebooting" {
		t.Errorf("%+v", in)
	}
	b.reboot()
	mu.Lock()
	away = false
	mu.Unlock()
	b.serve("-callback-url", receiver.URL)
	const failed = "INSTALL_FAILED: rolled back: exit 1: booted A"
	if p := b.await("failed"); p.Code != 500 || p.Msg != failed {
		t.Errorf("%+v", p)
	}
	want := []string{"installing", "rebooting", "failed " + failed}
	if err := b.Await(30*time.Second, "three stages", func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return len(stages) >= len(want), nil
	}); err != nil || !slices.Equal(stages, want) {
		t.Errorf("called back with %q, want %q (%v)", stages, want, err)
	}
	out := outcome(t, "status", "-state-dir", b.dir, "-listen", b.addr)
	if !strings.HasPrefix(out, "Ready 100%  u.zip 1.2.3") || !strings.Contains(out, failed+"; not tried again") {
		t.Errorf("otad status: %s", out)
	}
	metrics, _, err := otadrun.NewClient(b.addr).Get(t.Context(), "/metrics")
	check(t, err)
	if text := string(metrics); !strings.Contains(text, `ota_installs_total{result="failed"} 1`) || !strings.Contains(text, "ota_install_duration_seconds_count 1") {
		t.Error("the metrics do not have the run")
	}
}

func outcome(t *testing.T, args ...string) string {
	t.Helper()
	p, err := otadrun.Start(otadrun.Command(binary, args...))
	check(t, err)
	return p.Wait().Stdout
}

// The command of an otad that was killed is ended before it runs again: the two
// are never at work at a time.
func TestKilledOtadLeavesNoSecondCommand(t *testing.T) {
	b := newRealBoard(t, `exec >/dev/null 2>&1 # nobody reads it any more: the shell must not end of that
alive() { grep -q '^State:.[^ZX]' /proc/$1/status; }
echo $$ > NOTES/run$OTAD_ATTEMPT
if [ "$OTAD_ATTEMPT" = 2 ]; then
	{ alive $(cat NOTES/run1) || alive $(cat NOTES/child); } && echo both > NOTES/both
	exit 0
fi
trap 'sleep 0.3; echo TERM > NOTES/term; exit 0' TERM
sleep 1000 &
echo $! > NOTES/child
while :; do sleep 0.05; done`)
	b.serve()
	b.note("child")
	check(t, b.Await(10*time.Second, "its number in the journal", func() (bool, error) { return b.install().PID > 0, nil }))
	b.Kill()
	if in := b.install(); in.State != "running" || in.Attempt != 1 {
		t.Errorf("after the kill the journal says %+v", in)
	}
	b.serve()
	b.await("success")
	if b.hasNote("both") {
		t.Error("the first command was at work during the second")
	}
	if !b.hasNote("term") {
		t.Error("the first command was not asked to end")
	}
	if in := b.install(); in.Attempt != 2 || in.PID != 0 {
		t.Errorf("%+v", in)
	}
}

func TestStopLetsTheCommandEnd(t *testing.T) {
	b := newRealBoard(t, `echo begun > NOTES/begun
while [ ! -e NOTES/go ]; do sleep 0.02; done
exit 0`)
	b.serve()
	b.note("begun")
	check(t, b.Cmd.Process.Signal(syscall.SIGTERM))
	began := time.Now()
	// The API is gone within two seconds, and otad is not.
	check(t, b.Await(30*time.Second, "the end of the API", func() (bool, error) {
		c, err := net.Dial("tcp", b.addr)
		if err == nil {
			c.Close()
		}
		return err != nil, nil
	}))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the API was open for %v", took)
	}
	select {
	case <-b.Done():
		t.Fatal("otad did not wait for its command")
	case <-time.After(4 * time.Second): // longer than a stop may take otherwise
	}
	check(t, os.WriteFile(filepath.Join(b.notes, "go"), nil, 0o644))
	if r, err := b.WaitFor(10 * time.Second); err != nil || r.Code != 0 {
		t.Errorf("ended with %d: %v\n%s", r.Code, err, r.Stderr)
	}
	if in := b.install(); in.State != "success" || in.Attempt != 1 {
		t.Errorf("%+v", in)
	}
}

func TestStopEndsACommandThatDoesNot(t *testing.T) {
	b := newRealBoard(t, `[ "$OTAD_ATTEMPT" = 2 ] && exit 0
sleep 1000 &
echo $! > NOTES/child
wait`)
	b.serve("-on-ready-grace", "300ms")
	child := b.note("child")[0]
	began := time.Now()
	b.stop(20 * time.Second)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("stopped after %v, before the grace", took)
	}
	if text, err := os.ReadFile("/proc/" + child + "/stat"); err == nil && !strings.Contains(string(text), ") Z ") {
		t.Error("what the command has started is still there")
	}
	if in := b.install(); in.State != "waiting" || in.Wait != 0 || in.Unknown != 0 {
		t.Errorf("%+v", in)
	}
	b.serve()
	b.await("success")
}

// DELETE gives the job up, and ends its command.
func TestDeleteEndsTheCommand(t *testing.T) {
	b := newRealBoard(t, "trap 'echo TERM > NOTES/term; exit 0' TERM\necho begun > NOTES/begun\nwhile :; do sleep 0.05; done")
	b.serve()
	b.note("begun")
	other := strings.NewReader(`{"version":"2.0.0","package_url":"http://127.0.0.1:9/v.zip","package_name":"v.zip","package_size":5,"package_md5":"0123456789abcdef0123456789abcdef"}`)
	resp, err := http.Post("http://"+b.addr+"/api/v1.0/download", "application/json", other)
	check(t, err)
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.HasPrefix(string(body), `{"code":409,"msg":"OPERATION_IN_PROGRESS: a package is being installed","stage":"installing"`) {
		t.Errorf("another job is answered %s", body)
	}
	req, err := http.NewRequest(http.MethodDelete, "http://"+b.addr+"/api/v1.0/download", nil)
	check(t, err)
	resp, err = http.DefaultClient.Do(req)
	check(t, err)
	resp.Body.Close()
	b.note("term")
	check(t, b.Await(10*time.Second, "idle", func() (bool, error) { p, err := b.progress(); return p.Data.Stage == "idle", err }))
	if in := b.install(); in != (journal.Install{}) {
		t.Errorf("%+v", in)
	}
}

func TestCommandThatCannotRunIsRefusedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	check(t, os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644))
	for command, says := range map[string]string{
		filepath.Join(dir, "none"): "no such file or directory",
		plain:                      "permission denied",
		dir:                        "is a directory",
		"install.sh":               "absolute path",
	} {
		for _, args := range [][]string{{"serve", "-listen", "127.0.0.1:0"}, {"check-config"}} {
			if args[0] == "check-config" {
				conf := filepath.Join(t.TempDir(), "otad.conf")
				check(t, os.WriteFile(conf, []byte("on-ready "+command+"\n"), 0o644))
				args = append(args, "-config", conf)
			} else {
				args = append(args, "-state-dir", t.TempDir(), "-on-ready", command)
			}
			p, err := otadrun.Start(otadrun.Command(binary, args...))
			check(t, err)
			r, err := p.WaitFor(30 * time.Second)
			check(t, err)
			if r.Code != 2 || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, says) || !strings.Contains(r.Stderr, "on-ready") {
				t.Errorf("%s %s: exit %d, %q", args[0], command, r.Code, r.Stderr)
			}
		}
	}
}
