package media_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon is an `otad serve`.
type daemon struct {
	*run
	addr string
}

// progress is what /progress answers, as far as it matters here.
type progress struct {
	State   string `json:"state"`
	Durable int64  `json:"bytes_durable"`
	Message string `json:"message"`
	Error   string `json:"error"`
}

// serve starts the daemon and returns when it answers.
func (d *device) serve() *daemon {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	o := &daemon{run: d.start(append([]string{"serve", "-state-dir", d.dir, "-listen", addr}, d.flags...)...), addr: addr}
	eventually(d.t, "otad serves", func() bool {
		select {
		case <-o.gone:
			d.t.Fatalf("otad has ended:\n%s", &o.errors)
		default:
		}
		return strings.Contains(o.errors.String(), `"msg":"serving"`)
	})
	return o
}

// ask makes one request and returns the HTTP status and the body's data.
func (o *daemon) ask(method, path string, body []byte, data any) (status, code int) {
	t := o.dev.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+o.addr+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, &o.errors)
	}
	defer resp.Body.Close()
	answer := struct {
		Code int `json:"code"`
		Data any `json:"data"`
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, answer.Code
}

// post asks for the device's package and returns the code of the answer.
func (o *daemon) post() int {
	o.dev.t.Helper()
	return o.postURL(o.dev.origin.URL())
}

func (o *daemon) postURL(url string) int {
	o.dev.t.Helper()
	body, err := json.Marshal(map[string]any{"version": "1.2.3", "package_url": url, "package_name": packageName,
		"package_size": o.dev.object.Len(), "package_md5": o.dev.object.MD5()})
	if err != nil {
		o.dev.t.Fatal(err)
	}
	_, code := o.ask(http.MethodPost, "/api/v1.0/download", body, nil)
	return code
}

func (o *daemon) progress() progress {
	o.dev.t.Helper()
	var p progress
	o.ask(http.MethodGet, "/progress", nil, &p)
	return p
}

// awaitState waits for a state and returns what is shown then.
func (o *daemon) awaitState(state string) (p progress) {
	o.dev.t.Helper()
	eventually(o.dev.t, "state "+state, func() bool {
		p = o.progress()
		return p.State == state
	})
	return p
}

// wantFailed waits for an error that begins so.
func (o *daemon) wantFailed(begins string) progress {
	o.dev.t.Helper()
	p := o.awaitState("Failed")
	if !strings.HasPrefix(p.Error, begins) {
		o.dev.t.Errorf("failed by %q, want %q", p.Error, begins)
	}
	o.dev.wantUnpublished()
	return p
}

// health is the HTTP status of /healthz.
func (o *daemon) health() int {
	o.dev.t.Helper()
	status, _ := o.ask(http.MethodGet, "/healthz", nil, nil)
	return status
}

// awaitStuck waits until the daemon tells that its journal cannot be written. The
// last to tell is the message.
func (o *daemon) awaitStuck() {
	o.dev.t.Helper()
	eventually(o.dev.t, "the daemon tells that the journal cannot be written", func() bool {
		return strings.HasPrefix(o.progress().Message, "the journal cannot be written: ")
	})
	if status := o.health(); status != 503 {
		o.dev.t.Errorf("healthz answers %d", status)
	}
}

// stop ends the daemon by SIGTERM, which has to do.
func (o *daemon) stop() time.Duration {
	o.dev.t.Helper()
	begun := time.Now()
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		o.dev.t.Fatal(err)
	}
	if code, last := o.wait(); code != 75 {
		o.dev.t.Errorf("stopped by SIGTERM, otad ended with %d and %q", code, last)
	}
	return time.Since(begun)
}

// effort is what the daemon has done so far.
type effort struct {
	cpu   time.Duration
	lines int // of its log
}

func (o *daemon) effort() effort {
	o.dev.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.cmd.Process.Pid))
	if err != nil {
		o.dev.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ") // the name may hold anything
	fields := strings.Fields(after)
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime, see proc_pid_stat(5)
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			o.dev.t.Fatal(err)
		}
		ticks += n
	}
	return effort{cpu: time.Duration(ticks) * 10 * time.Millisecond, lines: strings.Count(o.errors.String(), "\n")}
}

// wantCalm watches the daemon for a while in which it cannot do its work: it must
// neither spin nor fill the log.
func (o *daemon) wantCalm(t *testing.T) {
	t.Helper()
	const while = 6 * time.Second // longer than the pause between two tries
	before := o.effort()
	time.Sleep(while)
	after := o.effort()
	if used := after.cpu - before.cpu; used > while/20 {
		t.Errorf("in %v of nothing to do it used %v of CPU", while, used)
	}
	if lines := after.lines - before.lines; lines > 0 {
		t.Errorf("in %v of nothing to do it wrote %d lines into the log:\n%s", while, lines, &o.errors)
	}
}
