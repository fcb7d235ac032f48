package installers_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"otad/testdata/otadrun"
)

// otad returns the otad under test.
var otad = sync.OnceValues(func() (string, error) {
	name := filepath.Join(work, "otad")
	return name, otadrun.Build{Out: name, KeepPaths: true}.Run(context.Background())
})

// daemon is an otad that hands its packages over to the installer of a rig.
type daemon struct {
	*rig
	address  string
	callback string
	process  *program

	mu     sync.Mutex
	stages []string // as the callbacks have them, each once; guarded by mu
	failed string   // the last error; guarded by mu
}

// newDaemon prepares an otad, and a receiver of its callbacks.
func newDaemon(r *rig) *daemon {
	r.t.Helper()
	address, err := otadrun.FreeAddress("127.0.0.1")
	check(r.t, err)
	d := &daemon{rig: r, address: address}
	receiver := httptest.NewServer(http.HandlerFunc(d.receive))
	r.t.Cleanup(receiver.Close)
	d.callback = receiver.URL
	r.write("settings", r.settings)
	return d
}

// receive takes a callback.
func (d *daemon) receive(_ http.ResponseWriter, req *http.Request) {
	var p struct{ Stage, Error string }
	if err := json.NewDecoder(req.Body).Decode(&p); err != nil {
		d.t.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.stages) == 0 || d.stages[len(d.stages)-1] != p.Stage {
		d.stages = append(d.stages, p.Stage)
	}
	d.failed = p.Error
}

// boot starts otad after a boot of the board.
func (d *daemon) boot(id string) {
	d.t.Helper()
	if d.process != nil {
		_, err := d.process.Stop(patience)
		check(d.t, err)
	}
	d.run(id)
}

// run starts an otad that does not run.
func (d *daemon) run(id string) {
	d.t.Helper()
	d.write("boot_id", id+"\n")
	binary, err := otad()
	check(d.t, err)
	// The kernel's file, in this otad's mounts alone.
	cmd := otadrun.Command("sh", "-c", `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, d.file("boot_id"),
		binary, "serve", "-state-dir", d.state, "-listen", d.address, "-callback-url", d.callback, "-on-ready", d.command[len(d.command)-2]+" "+d.file("settings"))
	d.process = d.daemon(cmd)
	check(d.t, d.process.AwaitListener(d.address, patience))
}

// post starts the job of a package, which an origin on the loopback has.
func (d *daemon) post(name string) {
	d.t.Helper()
	origin := httptest.NewServer(http.FileServer(http.Dir(d.dir)))
	d.t.Cleanup(origin.Close)
	sum, err := otadrun.MD5(d.file(name))
	check(d.t, err)
	size, err := otadrun.FileSize(d.file(name))
	check(d.t, err)
	client := otadrun.NewClient(d.address)
	defer client.Close()
	answer, err := client.Post(context.Background(), otadrun.Job{Version: "1.2.3", URL: origin.URL + "/" + name, Name: name, Size: size, MD5: sum})
	check(d.t, err)
	check(d.t, answer.Err())
}

// awaitStages waits until the callbacks have had the stages, and ends the test if
// they have had others.
func (d *daemon) awaitStages(want ...string) {
	d.t.Helper()
	var got []string
	eventually(d.t, "the stage "+want[len(want)-1], func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		got = slices.Clone(d.stages)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		d.t.Fatalf("the stages are %q, want %q", got, want)
	}
}

// wantError waits for a callback with the error.
func (d *daemon) wantError(text string) {
	d.t.Helper()
	var got string
	if err := otadrun.Await(patience, "an error", func() (bool, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		got = d.failed
		return strings.Contains(got, text), nil
	}); err != nil {
		d.t.Fatalf("the error is %q, want %q", got, text)
	}
}

var (
	untilInstall = []string{"downloading", "verifying", "toInstall", "installing"}
	untilReboot  = append(slices.Clip(untilInstall), "rebooting")
)

// board is what one installer needs: its package and what a reboot does.
type board struct {
	script, name string
	prepare      func(r *rig) (reboot func(slot string))
}

var boards = []board{
	{"rauc.sh", "u.raucb", func(r *rig) func(string) {
		bus := r.newBus()
		r.raucFiles(bus)
		r.image("rootfs", 2<<20)
		r.bundle("u.raucb", "rootfs", "otad-board", "1.2.3")
		r.bundle("other.raucb", "rootfs", "other-board", "1.2.3")
		service := r.rauc(bus, "A")
		return func(slot string) {
			service.end()
			service = r.rauc(bus, slot)
		}
	}},
	{"swupdate.sh", "u.swu", func(r *rig) func(string) {
		r.swupdateFiles()
		r.image("rootfs", 2<<20)
		r.swu("u.swu", "rootfs", r.file("slot-b.img"), "1.0", "1.2.3")
		r.swu("other.swu", "rootfs", r.file("slot-b.img"), "7.7", "1.2.3")
		r.swupdate("-R", "1.0.0")
		return func(slot string) {
			if slot == "B" {
				r.write("sw-versions", "rootfs 1.2.3\n")
			}
		}
	}},
	{"ab-dd.sh", "u.img", func(r *rig) func(string) {
		r.abFiles()
		r.settings += "IMAGES='u.*'\n"
		r.image("u.img", 2<<20)
		r.image("other.img", 2<<20)
		return func(slot string) {
			if slot == "B" {
				r.boot("slot-b.img", "other")
			}
		}
	}},
}

// otad downloads a package, hands it over, and says what came of it.
func TestOtadHandsOver(t *testing.T) {
	for _, b := range boards {
		t.Run(b.script, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, b.script)
			reboot := b.prepare(r)
			d := newDaemon(r)
			d.boot("first")
			d.post(b.name)
			d.awaitStages(untilReboot...)
			d.boot("first") // otad alone is started again
			reboot("B")
			d.boot("second")
			d.awaitStages(append(slices.Clip(untilReboot), "success")...)
		})
		t.Run(b.script+" rolled back", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, b.script)
			reboot := b.prepare(r)
			d := newDaemon(r)
			d.boot("first")
			d.post(b.name)
			d.awaitStages(untilReboot...)
			reboot("A")
			d.boot("second")
			d.awaitStages(append(slices.Clip(untilReboot), "failed")...)
			d.wantError("INSTALL_FAILED: rolled back: exit 1: rolled back: ")
		})
		t.Run(b.script+" refuses", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, b.script)
			b.prepare(r)
			d := newDaemon(r)
			d.boot("first")
			d.post("other" + filepath.Ext(b.name))
			d.awaitStages(append(slices.Clip(untilInstall), "failed")...)
			d.wantError("INSTALL_FAILED: exit 1: ")
		})
	}
}

// otad is killed while RAUC installs, and RAUC goes on. The next otad ends what is left
// of the command and runs it again.
func TestOtadIsKilledWhileRAUCInstalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, "rauc.sh")
	boards[0].prepare(r)
	d := newDaemon(r)
	d.boot("first")
	r.write("hold", "")
	d.post("u.raucb")
	eventually(t, "an installation is under way", func() bool { return exists(r.file("held")) })
	d.process.Kill()
	check(t, os.Remove(r.file("hold")))
	eventually(t, "RAUC has installed it", func() bool { return r.read("primary") == "B\n" })
	d.run("first")
	d.awaitStages(untilReboot...)
	if log := d.process.out.String(); !strings.Contains(log, "attempt=2") {
		t.Errorf("the command ran once:\n%s", log)
	}
}
