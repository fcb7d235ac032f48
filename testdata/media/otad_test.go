package media_test

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"otad/journal"
	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// interval is the checkpoint interval of every test, the smallest that otad
// accepts.
const interval = 64 << 10

const packageName = "u.bin"

// device is a board with one job: a state directory, an origin, and the package
// that the origin serves.
type device struct {
	t      *testing.T
	dir    string
	object origintest.Object
	origin *origintest.Origin
	medium *medium  // nil: otad's system calls are not intercepted
	flags  []string // of fetch and serve
	learns bool     // fetch gets no -size
	binary string   // of otad
}

// newDevice makes a board whose package has size bytes.
func newDevice(t *testing.T, dir string, size int64, script ...*origintest.Rule) *device {
	t.Helper()
	object := origintest.Object{Size: size, Seed: 7}
	return &device{t: t, dir: dir, object: object, origin: origintest.New(t, object, script...), binary: otad("otad"),
		flags: []string{"-checkpoint", "64KiB", "-min-free", "0", "-log-format", "json"}}
}

// run is one process of otad.
type run struct {
	*otadrun.Process
	dev *device
}

// start starts a command of otad. The process is killed at the end of the test.
func (d *device) start(args ...string) *run {
	d.t.Helper()
	start := (*exec.Cmd).Start
	if d.medium != nil {
		start = d.medium.start(d.t)
	}
	p, err := otadrun.StartBy(otadrun.Command(d.binary, args...), start)
	check(d.t, err)
	d.t.Cleanup(func() { p.Kill() })
	return &run{p, d}
}

// fetch starts `otad fetch` of the device's package.
func (d *device) fetch(more ...string) *run {
	d.t.Helper()
	flags := append([]string{"-name", packageName, "-version", "1.2.3"}, d.flags...)
	if !d.learns {
		flags = append(flags, "-size", strconv.FormatInt(d.object.Len(), 10))
	}
	return d.start(otadrun.FetchArgs(d.dir, d.object.MD5(), d.origin.URL(), append(flags, more...)...)...)
}

// wait returns the exit code and the last line on stderr. The process has to end
// by itself, and soon.
func (r *run) wait() (code int, last string) {
	r.dev.t.Helper()
	result, err := r.WaitFor(patience)
	check(r.dev.t, err)
	return result.Code, result.LastLine()
}

// wantExit expects the exit code and an error of one line with this beginning.
func (r *run) wantExit(code int, begins string) string {
	r.dev.t.Helper()
	got, last := r.wait()
	if got != code || !strings.HasPrefix(last, begins) {
		r.dev.t.Errorf("otad ended with %d and %q, want %d and %q:\n%s", got, last, code, begins, &r.Stderr)
	}
	return last
}

// wantReady expects the package and no partial file.
func (r *run) wantReady() {
	r.dev.t.Helper()
	if code, _ := r.wait(); code != 0 {
		r.dev.t.Fatalf("otad ended with %d:\n%s", code, &r.Stderr)
	}
	r.dev.wantPublished()
}

func (d *device) wantPublished() {
	d.t.Helper()
	got, err := otadrun.MD5(d.path(packageName))
	check(d.t, err)
	if got != d.object.MD5() {
		d.t.Errorf("the package that is Ready has the digest %s, want %s", got, d.object.MD5())
	}
	if d.size(packageName+".otad-part") >= 0 {
		d.t.Error("the partial file is still there")
	}
}

// wantUnpublished expects that no package is published.
func (d *device) wantUnpublished() {
	d.t.Helper()
	if d.size(packageName) >= 0 {
		d.t.Error("a package is published")
	}
}

func (d *device) path(name string) string { return filepath.Join(d.dir, name) }

// size returns the length of a file in the state directory; -1: no such file.
func (d *device) size(name string) int64 {
	d.t.Helper()
	size, err := otadrun.FileSize(d.path(name))
	check(d.t, err)
	return size
}

// recorded returns the state in the journal and the number of durable bytes.
func (d *device) recorded() (state string, durable int64) {
	rec, checkpoints, err := journal.Peek(d.dir)
	if err == nil && len(checkpoints) > 0 {
		durable = checkpoints[0].Offset
	}
	return rec.State, durable
}

// awaitDurable waits until n bytes are durable.
func (d *device) awaitDurable(n int64) {
	d.t.Helper()
	eventually(d.t, strconv.FormatInt(n, 10)+" bytes are durable", func() bool {
		_, durable := d.recorded()
		return durable >= n
	})
}

// awaitStall waits until the origin stalls and n bytes are durable.
func (d *device) awaitStall(n int64) {
	d.t.Helper()
	<-d.origin.Stalled()
	d.awaitDurable(n)
}

// status returns what `otad status` prints. That command has to work whatever
// the disk is like.
func (d *device) status() string {
	d.t.Helper()
	r := d.start("status", "-state-dir", d.dir, "-listen", "127.0.0.1:1")
	if code, _ := r.wait(); code != 0 && code != 3 { // 3: no otad runs
		d.t.Errorf("status ended with %d: %s", code, &r.Stderr)
	}
	return r.Stdout.String()
}

// wantResume downloads the rest of the package, from the last durable byte on.
func (d *device) wantResume() {
	d.t.Helper()
	_, durable := d.recorded()
	d.fetch().wantReady()
	d.wantLastRange(durable)
}

// wantLastRange expects that the last request to the origin starts at that byte.
func (d *device) wantLastRange(from int64) {
	d.t.Helper()
	asked := d.origin.Requests()
	want := "bytes=" + strconv.FormatInt(from, 10) + "-"
	if len(asked) == 0 || asked[len(asked)-1].Range != want {
		d.t.Errorf("the origin received %d requests, want the last for %s: %+v", len(asked), want, asked)
	}
}
