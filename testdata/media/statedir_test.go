package media_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"otad/netio/origintest"
)

// The data partition is mounted late, over the directory that otad has opened:
// otad ends with 2, so that init starts it on the right one, and no package is
// Ready in the hidden one.
func TestDirectoryThatIsMountedOver(t *testing.T) {
	needRoot(t)
	for name, mount := range map[string]func(t *testing.T, dir string) error{
		"by a tmpfs": func(_ *testing.T, dir string) error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755") },
		"by a bind mount": func(t *testing.T, dir string) error {
			return unix.Mount(t.TempDir(), dir, "", unix.MS_BIND, "")
		},
	} {
		for when, act := range map[string]func(o *daemon){
			"found by a look at the health": func(o *daemon) {
				if code := o.health(); code != 503 {
					o.dev.t.Errorf("healthz answers %d", code)
				}
			},
			"found before Ready": func(o *daemon) { o.dev.origin.Release() },
		} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				d := newDevice(t, t.TempDir(), 5*interval, origintest.On(1).StallAt(5*interval-10))
				o := d.serveJob()
				d.awaitStall(4 * interval)
				check(t, mount(t, d.dir))
				act(o)
				code, last := o.wait()
				if code != 2 || !strings.Contains(last, d.dir) || !strings.Contains(last, "mounted over") {
					t.Errorf("otad ended with %d and %q", code, last)
				}
				if entries, err := os.ReadDir(d.dir); err != nil || len(entries) != 0 {
					t.Errorf("the directory that is there holds %v, %v", entries, err)
				}
				unmount(t, d.dir)
				d.wantUnpublished()
				_, durable := d.recorded()
				d.origin.Release()
				o = d.serve() // takes the job up by itself
				o.wantReady()
				d.wantPublished()
				if durable < 4*interval {
					t.Errorf("%d bytes were durable", durable)
				}
				o.stop()
			})
		}
	}
}

// A lock that any user can take stops nobody. An earlier otad, which locks the
// directory and the journal, is never joined by a second one.
func TestLocksOfOthers(t *testing.T) {
	t.Parallel()
	d := newDevice(t, t.TempDir(), 2*interval)
	hold := func(path string) *os.File {
		f, err := os.Open(path)
		check(t, err)
		check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
		return f
	}
	directory := hold(d.dir)
	defer directory.Close()
	d.fetch().wantReady()
	journal := hold(d.path("journal.db"))
	before, err := os.ReadFile(d.path("journal.db"))
	check(t, err)
	d.fetch().wantExit(5, "")
	if after, err := os.ReadFile(d.path("journal.db")); err != nil || string(after) != string(before) {
		t.Errorf("the journal was changed (%v)", err)
	}
	d.status()
	journal.Close()
	d.fetch().wantReady()
}

// A board's kernel can be built without a call, or its sandbox refuse one.
func TestCallsThatTheBoardLacks(t *testing.T) {
	for name, lacks := range map[string]map[string]unix.Errno{
		"no fadvise":                     {"fadvise": unix.ENOSYS},
		"fallocate is refused":           {"fallocate": unix.EPERM},
		"fallocate is not for this file": {"fallocate": unix.ENODEV},
		"no statfs":                      {"fstatfs": unix.ENOSYS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, t.TempDir(), 5*interval+777)
			d.medium = &medium{rule: func(c call) fault { return fault{errno: lacks[c.what]} }}
			d.flags = append(d.flags, "-readback")
			o := d.serve()
			text, _, err := o.client.Get(t.Context(), "/metrics")
			check(t, err)
			if known := !strings.Contains(string(text), "\nota_storage_free_bytes NaN\n"); known == (lacks["fstatfs"] != 0) {
				t.Errorf("the free bytes are known: %v", known)
			}
			o.post()
			o.wantReady()
			d.wantPublished()
			for what := range lacks {
				if len(d.medium.made(what, packageName+".otad-part"))+len(d.medium.made(what, filepath.Base(d.dir))) == 0 {
					t.Errorf("%s was never called", what)
				}
			}
			o.stop()
		})
	}
}
