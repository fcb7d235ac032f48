package media_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"otad/journal"
	"otad/netio/origintest"
)

// interval is the checkpoint interval of every test, the least that otad takes.
const interval = 64 << 10

const packageName = "u.bin"

// device is a board with one job to do: a state directory, an origin and what
// it serves.
type device struct {
	t      *testing.T
	dir    string
	object origintest.Object
	origin *origintest.Origin
	medium *medium  // nil: nothing stands between otad and its disk
	flags  []string // of fetch and serve
	learns bool     // fetch is not told the size
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
	dev         *device
	cmd         *exec.Cmd
	gone        chan struct{} // closed when it has ended
	out, errors output
}

// output may be read while it is written.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// start starts a command of otad. It is killed at the end of the test.
func (d *device) start(args ...string) *run {
	d.t.Helper()
	r := &run{dev: d, gone: make(chan struct{})}
	r.cmd = exec.Command(d.binary, args...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errors
	if d.medium != nil {
		d.medium.start(d.t, r.cmd)
	} else if err := r.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		r.cmd.Wait()
		close(r.gone)
	}()
	d.t.Cleanup(func() {
		r.cmd.Process.Kill()
		<-r.gone
	})
	return r
}

// fetch starts `otad fetch` of the device's package.
func (d *device) fetch(more ...string) *run {
	d.t.Helper()
	args := append([]string{"fetch", "-state-dir", d.dir, "-name", packageName, "-version", "1.2.3",
		"-md5", d.object.MD5()}, d.flags...)
	if !d.learns {
		args = append(args, "-size", strconv.FormatInt(d.object.Len(), 10))
	}
	return d.start(append(append(args, more...), d.origin.URL())...)
}

// wait returns the exit code and the last line that otad said. It has to end by
// itself, and soon.
func (r *run) wait() (code int, last string) {
	r.dev.t.Helper()
	eventually(r.dev.t, "otad ends", func() bool {
		select {
		case <-r.gone:
			return true
		default:
			return false
		}
	})
	lines := strings.Split(strings.TrimSpace(r.errors.String()), "\n")
	return r.cmd.ProcessState.ExitCode(), strings.TrimPrefix(lines[len(lines)-1], "otad: ")
}

// wantExit wants the exit code and an error of one line that begins so.
func (r *run) wantExit(code int, begins string) string {
	r.dev.t.Helper()
	got, last := r.wait()
	if got != code || !strings.HasPrefix(last, begins) {
		r.dev.t.Errorf("otad ended with %d and %q, want %d and %q:\n%s", got, last, code, begins, &r.errors)
	}
	return last
}

// wantReady wants the package, and nothing beside it but the journal.
func (r *run) wantReady() {
	r.dev.t.Helper()
	if code, _ := r.wait(); code != 0 {
		r.dev.t.Fatalf("otad ended with %d:\n%s", code, &r.errors)
	}
	r.dev.wantPublished()
}

func (d *device) wantPublished() {
	d.t.Helper()
	f, err := os.Open(d.path(packageName))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	sum := md5.New()
	if _, err := io.Copy(sum, f); err != nil {
		d.t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != d.object.MD5() {
		d.t.Errorf("the package that is Ready has the digest %s, want %s", got, d.object.MD5())
	}
	if d.size(packageName+".part") >= 0 {
		d.t.Error("the partial file is still there")
	}
}

// wantUnpublished wants that nothing is published.
func (d *device) wantUnpublished() {
	d.t.Helper()
	if d.size(packageName) >= 0 {
		d.t.Error("a package is published")
	}
}

func (d *device) path(name string) string { return filepath.Join(d.dir, name) }

// size is the length of a file in the state directory; -1: there is none.
func (d *device) size(name string) int64 {
	st, err := os.Stat(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return -1
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return st.Size()
}

// recorded is what the journal holds: the state, and how many bytes are durable.
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

// status is what `otad status` prints; it has to work whatever the disk is like.
func (d *device) status() string {
	d.t.Helper()
	r := d.start("status", "-state-dir", d.dir, "-listen", "127.0.0.1:1")
	if code, _ := r.wait(); code != 0 {
		d.t.Errorf("status ended with %d: %s", code, &r.errors)
	}
	return r.out.String()
}

// wantLastRange wants that the origin was last asked from that byte on.
func (d *device) wantLastRange(from int64) {
	d.t.Helper()
	asked := d.origin.Requests()
	want := "bytes=" + strconv.FormatInt(from, 10) + "-"
	if len(asked) == 0 || asked[len(asked)-1].Range != want {
		d.t.Errorf("the origin was asked %d times, want %s last: %+v", len(asked), want, asked)
	}
}
