package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"otad/board/app"
	"otad/board/config"
	"otad/board/deviceapi"
	"otad/fsm"
	"otad/netio/origintest"
)

// daemon is a running otad serve whose failed jobs are tried again after
// fractions of a second.
type daemon struct {
	addr, dir string
	out       recorder
}

func startDaemon(t *testing.T, again fsm.TryAgain, args ...string) *daemon {
	t.Helper()
	d := &daemon{addr: freeAddress(t), dir: t.TempDir()}
	args = append([]string{"serve", "-state-dir", d.dir, "-listen", d.addr, "-min-free", "0", "-retries", "0",
		"-header-timeout", "200ms"}, args...)
	cfg, err := config.Parse(args, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Serve.TryAgain = again
	ctx, stop := context.WithCancel(context.Background())
	serving, done := make(chan struct{}), make(chan error, 1)
	go func() {
		ready := sync.OnceFunc(func() { close(serving) })
		done <- d.out.runConfig(ctx, t, nil, func(line string) {
			if strings.Contains(line, "msg=serving") {
				ready()
			}
		}, cfg)
	}()
	select {
	case <-serving:
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, app.ErrStopped) {
			t.Error(err)
		}
	})
	return d
}

// soon is short enough for a test, and long enough to be seen in /progress.
var soon = fsm.TryAgain{First: 100 * time.Millisecond, Longest: 400 * time.Millisecond}

// post posts a job and returns the code of the answer.
func (d *daemon) post(t *testing.T, name, url string, object origintest.Object) int {
	t.Helper()
	body := fmt.Sprintf(`{"version":"1.2.3","package_url":%q,"package_name":%q,"package_size":%d,"package_md5":%q}`,
		url, name, object.Len(), object.MD5())
	resp, err := http.Post("http://"+d.addr+"/api/v1.0/download", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Code int }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Code
}

// until polls /progress until is reports true.
func (d *daemon) until(t *testing.T, what string, is func(deviceapi.Progress) bool) deviceapi.Progress {
	t.Helper()
	var p deviceapi.Progress
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var err error
		if p, err = deviceapi.Ask(t.Context(), d.addr); err != nil {
			t.Fatal(err)
		}
		if is(p) {
			return p
		}
	}
	t.Fatalf("%s: not so within 30 s: %+v", what, p)
	return p
}

// status returns what otad status prints.
func (d *daemon) status(t *testing.T) string {
	t.Helper()
	return statusOf(t, "-state-dir", d.dir, "-listen", d.addr)
}

func statusOf(t *testing.T, flags ...string) string {
	t.Helper()
	text, err := statusAndError(t, flags...)
	if err != nil && !app.Printed(err) {
		t.Fatal(err)
	}
	return text
}

func statusAndError(t *testing.T, flags ...string) (string, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var rec recorder
	result := rec.run(t.Context(), t, out, func(string) {}, append([]string{"status"}, flags...)...)
	printed, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(printed), result
}

// wantEnded checks that the log has a summary line for each of the results. The
// last line may come a little later than the state that it is about.
func (d *daemon) wantEnded(t *testing.T, results ...string) {
	t.Helper()
	var lines []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		d.out.mu.Lock()
		lines = regexp.MustCompile(`(?m)^.*msg="job ended".*$`).FindAllString(d.out.all.String(), -1)
		d.out.mu.Unlock()
		if len(lines) >= len(results) {
			break
		}
	}
	if len(lines) != len(results) {
		t.Fatalf("%d lines, want %d: %q", len(lines), len(results), lines)
	}
	for i, want := range results {
		if !strings.Contains(lines[i], " result="+want) {
			t.Errorf("line %d has no %q: %q", i, want, lines)
		}
	}
}

// troubled is an origin that is down, then in one kind of trouble after another,
// and well at last.
type troubled struct {
	addr  string
	mode  atomic.Value // string
	count atomic.Int64 // requests in the mode
}

func (o *troubled) set(mode string) {
	o.mode.Store(mode)
	o.count.Store(0)
}

func (o *troubled) up(t *testing.T) {
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, object.Len())
	object.ReadAt(content, 0)
	ended := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.count.Add(1)
		switch o.mode.Load() {
		case "silent":
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		case "resets":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
		case "fails":
			http.Error(w, "maintenance", http.StatusServiceUnavailable)
		default:
			w.Header().Set("ETag", `"1"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}
	})}
	go server.Serve(l)
	t.Cleanup(func() { close(ended); server.Close() })
}

// Nobody helps: the origin refuses connections, is silent, resets, answers 503,
// and is well at last. Each failure is visible meanwhile.
func TestServeOutlastsAnOriginInTrouble(t *testing.T) {
	t.Parallel()
	origin := &troubled{addr: freeAddress(t)}
	d := startDaemon(t, soon, "-retry-status", "503")
	if code := d.post(t, "u.bin", "http://"+origin.addr+"/u.bin", object); code != 200 {
		t.Fatalf("code %d", code)
	}
	failures := 0
	inTrouble := func(kind string) {
		t.Helper()
		p := d.until(t, kind, func(p deviceapi.Progress) bool {
			return p.State == "Failed" && p.Tries >= failures+2 && p.NextTrySeconds != nil
		})
		failures = p.Tries
		if p.Error == nil || p.ErrorCode == nil || *p.ErrorCode != "DOWNLOAD_FAILED" || p.ErrorReason == nil || *p.ErrorReason != "RETRIES_SPENT" {
			t.Errorf("%s: %+v", kind, p)
		}
	}
	inTrouble("refuses")
	want := regexp.MustCompile(`^Failed 0%  u\.bin 1\.2\.3  0 of 500000 bytes  DOWNLOAD_FAILED: .*; try \d+ in \d+s\n$`)
	seen := ""
	d.until(t, "status", func(deviceapi.Progress) bool { seen = d.status(t); return want.MatchString(seen) })
	origin.set("silent")
	origin.up(t)
	for _, kind := range []string{"silent", "resets", "fails"} {
		origin.set(kind)
		inTrouble(kind)
		if origin.count.Load() == 0 {
			t.Errorf("%s: no request", kind)
		}
	}
	d.wantEnded(t)
	origin.set("well")
	p := d.until(t, "well", func(p deviceapi.Progress) bool { return p.State == "Ready" })
	if p.Error != nil || p.NextTrySeconds != nil {
		t.Errorf("Ready: %+v", p)
	}
	if _, err := os.Stat(filepath.Join(d.dir, "u.bin")); err != nil {
		t.Error(err)
	}
	d.wantEnded(t, "ready name=u.bin version=1.2.3 size=500000 durable=500000")
}

func TestJobThatIsTriedAgainGivesWay(t *testing.T) {
	t.Parallel()
	origin := origintest.New(t, object, origintest.On(1).StallAt(1000))
	origin.Down()
	d := startDaemon(t, soon)
	if code := d.post(t, "a.bin", origin.URL(), object); code != 200 {
		t.Fatalf("code %d", code)
	}
	d.until(t, "refused", func(p deviceapi.Progress) bool { return p.State == "Failed" })
	if err := origin.Up(); err != nil {
		t.Fatal(err)
	}
	<-origin.Stalled()
	if p := d.until(t, "tried again", func(deviceapi.Progress) bool { return true }); p.State != "Downloading" || p.Tries == 0 {
		t.Errorf("while it is tried again: %+v", p)
	}
	if code := d.post(t, "b.bin", origin.URL(), object); code != 200 {
		t.Fatalf("another job: code %d, want 200", code)
	}
	d.until(t, "the other job", func(p deviceapi.Progress) bool { return p.PackageName == "b.bin" && p.State == "Ready" })
	d.wantEnded(t, "cancelled name=a.bin", "ready name=b.bin")
}

func TestFailedForGood(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		again fsm.TryAgain
		rule  *origintest.Rule
		error string
	}{
		"an expired URL":    {soon, origintest.Always().ExpiredAWS(), "URL_EXPIRED"},
		"another package":   {soon, origintest.Always().Replace(origintest.Object{Size: object.Size, Seed: 2}), "MD5_MISMATCH"},
		"-try-again is off": {fsm.TryAgain{}, origintest.Always().ResetEarly(), "DOWNLOAD_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, test.again)
			if code := d.post(t, "u.bin", origintest.New(t, object, test.rule).URL(), object); code != 200 {
				t.Fatalf("code %d", code)
			}
			d.until(t, name, func(p deviceapi.Progress) bool { return p.State == "Failed" })
			want := regexp.MustCompile(`^Failed .*` + test.error + `.*; not tried again\n$`)
			if got := d.status(t); !want.MatchString(got) {
				t.Errorf("status: %q", got)
			}
			d.wantEnded(t, "failed name=u.bin")
			d.out.mu.Lock()
			defer d.out.mu.Unlock()
			// journalctl -p err shows it.
			if !strings.Contains(d.out.all.String(), `level=ERROR msg="job ended" result=failed`) {
				t.Errorf("the end is not logged as an error:\n%s", &d.out.all)
			}
		})
	}
}

// Without a daemon nothing is known of the next try.
func TestStatusOfAJournalAlone(t *testing.T) {
	dir := t.TempDir()
	var rec recorder
	err := rec.run(t.Context(), t, nil, func(string) {}, "fetch", "-quiet", "-state-dir", dir, "-name", "u.bin", "-min-free", "0",
		"-md5", object.MD5(), origintest.New(t, object, origintest.Always().Status(404)).URL())
	if err == nil {
		t.Fatal("no error")
	}
	got := statusOf(t, "-state-dir", dir, "-listen", freeAddress(t))
	if !strings.HasPrefix(got, "no daemon runs; the journal says Failed 0%") || !strings.HasSuffix(got, err.Error()+"\n") {
		t.Errorf("status: %q, the error is %q", got, err)
	}
}

// While a retry is waited for, status and the JSON have no rate, and the message
// says for what.
func TestStatusOfAWait(t *testing.T) {
	t.Parallel()
	origin := origintest.New(t, object, origintest.On(1).ResetAt(300_000))
	d := startDaemon(t, soon, "-retries", "3", "-checkpoint", "64KiB")
	if code := d.post(t, "u.bin", origin.URL(), object); code != 200 {
		t.Fatalf("code %d", code)
	}
	p := d.until(t, "wait", func(p deviceapi.Progress) bool { return strings.HasPrefix(p.Message, "retry 1 of 3 in ") })
	if p.State != "Downloading" || p.BytesPerSecond != 0 || p.ETASeconds != nil || p.BytesDurable == 0 {
		t.Errorf("%+v", p)
	}
	if got := d.status(t); !strings.Contains(got, "  retry 1 of 3 in ") {
		t.Errorf("status: %q", got)
	}
	d.until(t, "Ready", func(p deviceapi.Progress) bool { return p.State == "Ready" })
}

func TestHoldFile(t *testing.T) {
	for name, test := range map[string]struct {
		place func(hold string) error
		below string // of the file, for -hold-file
	}{
		"a file":              {place: func(hold string) error { return os.WriteFile(hold, nil, 0) }},
		"a link to nothing":   {place: func(hold string) error { return os.Symlink("nothing", hold) }},
		"cannot be looked up": {place: func(hold string) error { return os.WriteFile(hold, nil, 0) }, below: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			origin := origintest.New(t, object)
			hold := filepath.Join(t.TempDir(), "hold")
			if err := test.place(hold); err != nil {
				t.Fatal(err)
			}
			d := startDaemon(t, soon, "-hold-file", filepath.Join(hold, test.below))
			if code := d.post(t, "u.bin", origin.URL(), object); code != 200 {
				t.Fatalf("code %d", code)
			}
			d.until(t, "held", func(p deviceapi.Progress) bool { return strings.HasPrefix(p.Message, "held") })
			if n := len(origin.Requests()); n != 0 {
				t.Errorf("%d requests while held", n)
			}
			if err := os.Remove(hold); err != nil {
				t.Fatal(err)
			}
			d.until(t, "Ready", func(p deviceapi.Progress) bool { return p.State == "Ready" })
		})
	}
}
