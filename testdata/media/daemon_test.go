package media_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

// daemon is an `otad serve`.
type daemon struct {
	*run
	client *otadrun.Client
}

// serve starts the daemon and returns when its API answers.
func (d *device) serve() *daemon {
	d.t.Helper()
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(d.t, err)
	o := &daemon{d.start(append([]string{"serve", "-state-dir", d.dir, "-listen", addr}, d.flags...)...), otadrun.NewClient(addr)}
	d.t.Cleanup(o.client.Close)
	check(d.t, o.AwaitListener(addr, patience))
	o.progress()
	return o
}

// serveJob is serve with the device's package as the job.
func (d *device) serveJob() *daemon {
	d.t.Helper()
	o := d.serve()
	o.post()
	return o
}

// answer fails the test unless the daemon answered.
func (o *daemon) answer(r otadrun.Response, err error) otadrun.Response {
	o.dev.t.Helper()
	if err != nil {
		o.dev.t.Fatalf("%v\n%s", err, &o.Stderr)
	}
	return r
}

// post sends the device's package as a job and returns the code of the response.
func (o *daemon) post() int {
	o.dev.t.Helper()
	return o.postURL(o.dev.origin.URL())
}

func (o *daemon) postURL(url string) int {
	o.dev.t.Helper()
	return o.answer(o.client.Post(o.dev.t.Context(), otadrun.Job{Version: "1.2.3", URL: url, Name: packageName,
		Size: o.dev.object.Len(), MD5: o.dev.object.MD5()})).Code
}

func (o *daemon) progress() otadrun.Progress {
	o.dev.t.Helper()
	return o.answer(o.client.Progress(o.dev.t.Context())).Data
}

// awaitState waits for a state and returns the progress in that state.
func (o *daemon) awaitState(state string) otadrun.Progress {
	o.dev.t.Helper()
	p, err := o.client.AwaitState(o.dev.t.Context(), state, patience)
	if err != nil {
		o.dev.t.Fatalf("%v: %+v\n%s", err, p, &o.Stderr)
	}
	return p
}

// wantReady waits until the package is Ready. It hides the method of run, which
// waits for the end of the process.
func (o *daemon) wantReady() {
	o.dev.t.Helper()
	o.awaitState("Ready")
	o.dev.wantPublished()
}

// wantFailed waits for an error with this beginning.
func (o *daemon) wantFailed(begins string) otadrun.Progress {
	o.dev.t.Helper()
	p := o.awaitState("Failed")
	if !strings.HasPrefix(p.Error, begins) {
		o.dev.t.Errorf("failed by %q, want %q", p.Error, begins)
	}
	o.dev.wantUnpublished()
	return p
}

// health returns the HTTP status of /healthz.
func (o *daemon) health() int {
	o.dev.t.Helper()
	_, status, err := o.client.Get(o.dev.t.Context(), "/healthz")
	check(o.dev.t, err)
	return status
}

// awaitJournalError waits until the daemon reports that its journal cannot be written.
// The message is the last part of the report to change.
func (o *daemon) awaitJournalError() {
	o.dev.t.Helper()
	eventually(o.dev.t, "the daemon reports that the journal cannot be written", func() bool {
		return strings.HasPrefix(o.progress().Message, "the journal cannot be written: ")
	})
	if status := o.health(); status != 503 {
		o.dev.t.Errorf("healthz answers %d", status)
	}
}

// stop ends the daemon by SIGTERM and returns how long that took.
func (o *daemon) stop() time.Duration {
	o.dev.t.Helper()
	begun := time.Now()
	r, err := o.Stop(patience)
	check(o.dev.t, err)
	if r.Code != 0 {
		o.dev.t.Errorf("stopped by SIGTERM, otad ended with %d and %q", r.Code, r.LastLine())
	}
	return time.Since(begun)
}

// stopInTime is stop with the limit of 2 s that otad promises.
func (o *daemon) stopInTime() {
	o.dev.t.Helper()
	if took := o.stop(); took > 2*time.Second {
		o.dev.t.Errorf("SIGTERM took %v", took)
	}
}

// usage is the work of a daemon since its start.
type usage struct {
	cpu   time.Duration
	lines int // of its log
}

func (o *daemon) usage() usage {
	o.dev.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.Cmd.Process.Pid))
	check(o.dev.t, err)
	_, after, _ := strings.Cut(string(stat), ") ") // the name may contain anything
	fields := strings.Fields(after)
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime, see proc_pid_stat(5)
		n, err := strconv.ParseInt(field, 10, 64)
		check(o.dev.t, err)
		ticks += n
	}
	return usage{cpu: time.Duration(ticks) * 10 * time.Millisecond, lines: strings.Count(o.Stderr.String(), "\n")}
}

// wantIdle observes the daemon for some seconds in which it cannot work. It must
// neither use the CPU nor fill the log.
func (o *daemon) wantIdle(t *testing.T) {
	t.Helper()
	const while = 6 * time.Second // longer than the pause between two attempts
	before := o.usage()
	time.Sleep(while)
	after := o.usage()
	if used := after.cpu - before.cpu; used > while/20 {
		t.Errorf("in %v without work it used %v of CPU", while, used)
	}
	if lines := after.lines - before.lines; lines > 0 {
		t.Errorf("in %v without work it wrote %d lines to the log:\n%s", while, lines, &o.Stderr)
	}
}
