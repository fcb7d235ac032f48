package app_test

import (
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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"otad/board/app"
	"otad/board/config"
	"otad/netio/origintest"
)

// A daemon on all addresses is asked on the addresses of this board, whatever
// the name localhost leads to.
func TestStatusAsksBothLoopbackAddresses(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			l, err := net.Listen("tcp", host+":0")
			if err != nil {
				t.Skip(err)
			}
			daemon := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.Host, "localhost") {
					t.Errorf("asked as %s", r.Host)
				}
				w.Write([]byte(`{"code":200,"data":{"state":"Idle","message":"it is me"}}`))
			})}
			go daemon.Serve(l)
			defer daemon.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			for _, wildcard := range []string{":", "0.0.0.0:", "[::]:"} {
				if got := statusOf(t, "-listen", wildcard+port); got != "Idle 0%  it is me\n" {
					t.Errorf("%s%s: %q", wildcard, port, got)
				}
			}
		})
	}
}

// fakeDaemon answers GET /progress with one of the answers after the other, and
// goes on with the last one. An answer is the data, or "gone" for a connection
// that is closed.
type fakeDaemon struct {
	addr string

	mu      sync.Mutex
	answers []string
}

func newFakeDaemon(t *testing.T, answers ...string) *fakeDaemon {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &fakeDaemon{addr: l.Addr().String(), answers: answers}
	server := &http.Server{Handler: d}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return d
}

func (d *fakeDaemon) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(w, `{"code":200,"data":%s}`, d.answers[0])
	if len(d.answers) > 1 {
		d.answers = d.answers[1:]
	}
}

// The answers of a daemon in the course of a job.
const (
	idle        = `{"state":"Idle","message":"Updater ready"}`
	downloading = `{"state":"Downloading","progress":41,"message":"Downloading","package_name":"u.zip","version":"1.2.3",
		"package_size":104857600,"bytes_durable":43993006,"bytes_per_second":3100000,"eta_seconds":20}`
	waits = `{"state":"Downloading","progress":41,"message":"retry 1 of 3 in 2s: refused","package_name":"u.zip","version":"1.2.3",
		"package_size":104857600,"bytes_durable":43993006}`
	failsOnce = `{"state":"Failed","progress":41,"error":"DOWNLOAD_FAILED: refused","package_name":"u.zip","version":"1.2.3",
		"package_size":104857600,"bytes_durable":43993006,"tries":2,"next_try_seconds":9}`
	failedForGood = `{"state":"Failed","progress":41,"error":"DOWNLOAD_FAILED: expired","package_name":"u.zip","version":"1.2.3",
		"package_size":104857600,"bytes_durable":43993006}`
	ready = `{"state":"Ready","progress":100,"message":"Package ready","package_name":"u.zip","version":"1.2.3",
		"package_size":104857600,"bytes_durable":104857600}`
)

func TestStatusInOneLine(t *testing.T) {
	const job = "u.zip 1.2.3  43993006 of 104857600 bytes"
	for name, test := range map[string]struct {
		answer, want string
		err          error
	}{
		"idle":                   {idle, "Idle 0%  Updater ready", nil},
		"rate and time left":     {downloading, "Downloading 41%  " + job + "  3.1 MB/s  20s left", nil},
		"a wait":                 {waits, "Downloading 41%  " + job + "  retry 1 of 3 in 2s: refused", nil},
		"failed and tried again": {failsOnce, "Failed 41%  " + job + "  DOWNLOAD_FAILED: refused; try 3 in 9s", app.ErrJobFailed},
		"failed for good":        {failedForGood, "Failed 41%  " + job + "  DOWNLOAD_FAILED: expired; not tried again", app.ErrJobFailed},
		"ready":                  {ready, "Ready 100%  u.zip 1.2.3  104857600 of 104857600 bytes  Package ready", nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFakeDaemon(t, test.answer)
			got, err := statusAndError(t, "-listen", d.addr)
			if got != test.want+"\n" || err != test.err {
				t.Errorf("\n got %q, %v\nwant %q, %v", got, err, test.want, test.err)
			}
			text, err := statusAndError(t, "-listen", d.addr, "-json")
			var decoded struct {
				Source  string
				Running bool
				State   string
			}
			if jsonErr := json.Unmarshal([]byte(text), &decoded); jsonErr != nil || err != test.err {
				t.Fatalf("%v, %v: %s", jsonErr, err, text)
			}
			if decoded.Source != "daemon" || !decoded.Running || !strings.HasPrefix(test.want, decoded.State+" ") {
				t.Errorf("JSON: %s", text)
			}
		})
	}
}

// The daemon of another state directory is not the one that was asked for.
func TestStatusIsThatOfTheNamedStateDirectory(t *testing.T) {
	asked, other := startDaemon(t, soon), startDaemon(t, soon)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(asked.dir, link); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	earlier := newFakeDaemon(t, ready) // does not say which directory it serves
	elsewhere := "the daemon at " + other.addr + " serves another state directory; "
	for name, test := range map[string]struct {
		flags []string
		want  string
		err   error
	}{
		"its daemon":              {[]string{"-state-dir", asked.dir, "-listen", asked.addr}, "Idle 0%  Updater ready\n", nil},
		"by another name":         {[]string{"-state-dir", link, "-listen", asked.addr}, "Idle 0%  Updater ready\n", nil},
		"at the second address":   {[]string{"-state-dir", asked.dir, "-listen", other.addr, "-listen", asked.addr}, "Idle 0%  Updater ready\n", nil},
		"no directory is named":   {[]string{"-listen", other.addr}, "Idle 0%  Updater ready\n", nil},
		"only another's answers":  {[]string{"-state-dir", asked.dir, "-listen", other.addr}, elsewhere + "an otad that does not answer here is at work on " + asked.dir + "; the journal says Idle 0%  Updater ready\n", nil},
		"nobody serves it":        {[]string{"-state-dir", empty, "-listen", other.addr}, "", app.ErrNobodyRuns},
		"a daemon that says none": {[]string{"-state-dir", empty, "-listen", earlier.addr}, "", app.ErrNobodyRuns},
		"nobody answers":          {[]string{"-state-dir", asked.dir, "-listen", freeAddress(t)}, "an otad that does not answer here is at work on " + asked.dir + "; the journal says Idle 0%  Updater ready\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := statusAndError(t, test.flags...)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("%q, %v, want %q, %v", got, err, test.want, test.err)
			}
		})
	}
}

// After the end of every otad the journal alone speaks.
func TestStatusWithoutAnOtad(t *testing.T) {
	for name, test := range map[string]struct {
		rules []*origintest.Rule
		want  string
	}{
		"failed": {[]*origintest.Rule{origintest.Always().Status(404)}, `no daemon runs; the journal says Failed 0%  u\.bin .*DOWNLOAD_FAILED: HTTP 404.*`},
		"ready":  {nil, `no daemon runs; the journal says Ready 100%  u\.bin .*500000 of 500000 bytes  Package ready`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			new(recorder).run(t.Context(), t, nil, func(string) {}, "fetch", "-quiet", "-state-dir", dir, "-name", "u.bin", "-min-free", "0",
				"-md5", object.MD5(), origintest.New(t, object, test.rules...).URL())
			other := startDaemon(t, soon)
			for listen, want := range map[string]string{
				freeAddress(t): test.want,
				other.addr:     "the daemon at " + other.addr + " serves another state directory; none runs on " + dir + strings.TrimPrefix(test.want, "no daemon runs"),
			} {
				got, err := statusAndError(t, "-state-dir", dir, "-listen", listen)
				if !regexp.MustCompile("^"+want+"\n$").MatchString(got) || err != app.ErrNobodyRuns {
					t.Errorf("%q, %v, want %s", got, err, want)
				}
			}
			text, err := statusAndError(t, "-state-dir", dir, "-listen", freeAddress(t), "-json")
			if !strings.Contains(text, `"source": "journal"`) || !strings.Contains(text, `"running": false`) || err != app.ErrNobodyRuns {
				t.Errorf("JSON: %v, %s", err, text)
			}
		})
	}
}

// A fetch has no API: its journal speaks, and it is at work.
func TestStatusOfAFetchThatRuns(t *testing.T) {
	dir := t.TempDir()
	origin, object := slow(t, origintest.On(1).StallAt(2<<20))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- new(recorder).run(ctx, t, nil, func(string) {}, "fetch", "-quiet", "-state-dir", dir, "-name", "u.bin",
			"-min-free", "0", "-md5", object.MD5(), origin.URL())
	}()
	<-origin.Stalled()
	got, err := statusAndError(t, "-state-dir", dir, "-listen", freeAddress(t))
	if !strings.HasPrefix(got, "an otad that does not answer here is at work on "+dir+"; the journal says Downloading ") || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	stop()
	<-ended
}

// watchOn runs otad status -watch on a terminal and returns what is drawn, in
// order, and its error.
func watchOn(t *testing.T, term *terminal, flags ...string) ([]string, error) {
	t.Helper()
	cfg, err := config.Parse(append([]string{"status", "-watch"}, flags...), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = app.Run(t.Context(), cfg, app.Build{Version: "test"}, term.File, term.File)
	term.Close()
	return strings.Split(<-term.drawn, "\r\x1b[K")[1:], err
}

func TestStatusWatchOnATerminal(t *testing.T) {
	for columns, want := range map[int][]string{
		80: {
			"Updater ready",
			"u.zip  41% [===========>                 ]  44 MB of 105 MB  3.1 MB/s  20s left",
			"u.zip  41% [========>           ]  44 MB of 105 MB  retry 1 of 3 in 2s: refused",
			"u.zip  41% [====>     ]  44 MB of 105 MB  try 3 in 9s: DOWNLOAD_FAILED: refused",
			"u.zip  100% [==============================]  105 MB of 105 MB  Package ready\r\n",
		},
		60: {
			"Updater ready",
			"u.zip  41%  44 MB of 105 MB  3.1 MB/s  20s left",
			"u.zip  41%  44 MB of 105 MB  retry 1 of 3 in 2s: refused",
			"u.zip  41%  try 3 in 9s: DOWNLOAD_FAILED: refused",
			"u.zip  100% [============]  105 MB of 105 MB  Package ready\r\n",
		},
		40: {
			"Updater ready",
			"u.zip  41%  44 MB of 105 MB  20s left",
			"u.zip  41%  retry 1 of 3 in 2s: refused",
			"u.zip  41%  try 3 in 9s: DOWNLOAD_FAI..",
			"u.zip  100% [==========]  Package ready\r\n",
		},
	} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			d := newFakeDaemon(t, idle, downloading, waits, failsOnce, ready)
			got, err := watchOn(t, newTerminal(t, columns), "-listen", d.addr)
			if err != nil {
				t.Error(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("\n got %q\nwant %q", got, want)
			}
		})
	}
}

func TestStatusWatchWithoutATerminal(t *testing.T) {
	const faster = `{"state":"Downloading","progress":41,"message":"Downloading","package_name":"u.zip","version":"1.2.3",
		"package_size":104857600,"bytes_durable":43993007,"bytes_per_second":3200000,"eta_seconds":19}`
	for name, test := range map[string]struct {
		flag string
		want string
	}{
		"text": {"-json=false", `Downloading 41% .*\nFailed 41% .* try 3 in 9s\nFailed 41% .*; not tried again\n`},
		"JSON": {"-json", `({"source":"daemon","running":true,.*}\n){4}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFakeDaemon(t, downloading, faster, failsOnce, failedForGood)
			got, err := statusAndError(t, "-watch", test.flag, "-listen", d.addr)
			if !regexp.MustCompile("^"+test.want+"$").MatchString(got) || err != app.ErrJobFailed {
				t.Errorf("%v: %q", err, got)
			}
		})
	}
}

func TestStatusWatchEndsWhereNobodyRuns(t *testing.T) {
	dir := t.TempDir()
	new(recorder).run(t.Context(), t, nil, func(string) {}, "fetch", "-quiet", "-state-dir", dir, "-name", "u.bin", "-min-free", "0",
		"-md5", object.MD5(), origintest.New(t, object).URL())
	began := time.Now()
	got, err := watchOn(t, newTerminal(t, 80), "-state-dir", dir, "-listen", freeAddress(t))
	if len(got) != 1 || !strings.HasPrefix(got[0], "u.bin  100% [==========]  no daemon runs; the journal says Ready") || err != app.ErrNobodyRuns || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v, %q", time.Since(began), err, got)
	}
}
