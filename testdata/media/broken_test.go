package media_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// failures are the ways in which a medium fails while otad works.
var failures = []struct {
	name   string
	mount  func(*testing.T) *image
	breaks func(*image) // in the middle; nil: it fails by itself
	ends   []end        // one of them
}{
	// 32 MiB on a disk of 6 MiB: from some block on, the loop device refuses every
	// write that needs a new block. If the package is the first to need one, its
	// write fails, and otad's journal, which has its blocks, still records the end
	// of the job. If ext4's own journal is the first, a sync fails and the file
	// system turns read-only, now or with its next transaction: otad's journal may
	// still record a sync of the package before.
	{"disk that is smaller than it says", func(t *testing.T) *image { return newImage(t, 32, "6m") },
		nil, []end{journalRefused, packageRefused, syncRefused}},
	{"the same without a journal", func(t *testing.T) *image { return newImage(t, 32, "6m", "-O", "^has_journal") },
		nil, []end{packageRefused}},
	{"disk that was pulled", func(t *testing.T) *image { return newImage(t, 32, "40m") },
		(*image).shutDown, []end{journalRefused}},
}

// end is the end of a job on a broken medium.
type end struct {
	code   int    // of fetch
	begins string // its error
	stuck  bool   // otad's journal cannot be written either, and the daemon waits
}

var (
	journalRefused = end{1, "DOWNLOAD_FAILED: ", true}
	packageRefused = end{4, "DISK_FULL: ", false}
	syncRefused    = end{1, "DOWNLOAD_FAILED: sync " + packageName, false}
)

func TestMediumThatBreaksUnderFetch(t *testing.T) {
	for _, tt := range failures {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := tt.mount(t)
			d := newDevice(t, m.dir, 12_000_000, origintest.On(1).StallAt(3*interval+1))
			r := d.fetch()
			d.awaitStall(3 * interval)
			if tt.breaks != nil {
				tt.breaks(m)
			}
			begun := time.Now()
			d.origin.Release()
			if code, last := r.wait(); !slices.ContainsFunc(tt.ends, func(e end) bool { return code == e.code && strings.HasPrefix(last, e.begins) }) {
				t.Errorf("otad ended with %d and %q, want one of %+v:\n%s", code, last, tt.ends, &r.Stderr)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("that took %v", took)
			}
			m.replaceDisk(d)
			d.fetch().wantReady()
		})
	}
}

func TestMediumThatBreaksUnderTheDaemon(t *testing.T) {
	for _, tt := range failures {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := tt.mount(t)
			d := newDevice(t, m.dir, 12_000_000, origintest.On(1).StallAt(3*interval+1))
			o := d.serveJob()
			d.awaitStall(3 * interval)
			if tt.breaks != nil {
				tt.breaks(m)
			}
			d.origin.Release()
			failed := !o.wantOneOf(tt.ends).stuck
			o.wantIdle(t)
			o.stopInTime()
			m.replaceDisk(d)
			if state, _ := d.recorded(); failed && state != "Failed" {
				t.Errorf("the job was reported as failed, and the journal says %s", state)
			}
			o = d.serveJob()
			o.wantReady()
			o.stop()
		})
	}
}

// wantOneOf waits until the daemon reports one of the ends, and returns it.
func (o *daemon) wantOneOf(ends []end) end {
	o.dev.t.Helper()
	var p otadrun.Progress
	eventually(o.dev.t, "the daemon reports the end of the job", func() bool {
		p = o.progress()
		return p.State == "Failed" || strings.HasPrefix(p.Message, "the journal cannot be written: ")
	})
	stuck := p.State != "Failed"
	if !slices.ContainsFunc(ends, func(e end) bool { return e.stuck == stuck && (stuck || strings.HasPrefix(p.Error, e.begins)) }) {
		o.dev.t.Errorf("the daemon shows %+v, want one of %+v", p, ends)
	}
	if status := o.health(); stuck != (status == 503) {
		o.dev.t.Errorf("healthz answers %d in %+v", status, p)
	}
	o.dev.wantUnpublished()
	return end{begins: p.Error, stuck: stuck}
}

// replaceDisk makes the medium large enough and repairs its file system.
func (m *image) replaceDisk(d *device) {
	m.t.Helper()
	check(m.t, unix.Mount("", m.disk, "", unix.MS_REMOUNT, "size=40m"))
	m.repair()
	d.wantUnpublished()
}

// This process can never write a journal that was truncated under bbolt. The
// next process sets the journal aside, so the daemon ends and init starts
// another one.
func TestDaemonWhoseJournalIsTakenAwayEndsForTheNextOne(t *testing.T) {
	for name, at := range map[string]int64{"in a download": 3*interval + 1, "at rest": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, t.TempDir(), 2_000_000)
			if at > 0 {
				d.restage(origintest.On(1).StallAt(at))
			}
			o := d.serve()
			if at > 0 {
				o.post()
				d.awaitStall(at / interval * interval)
			}
			check(t, os.Truncate(d.path("journal.db"), 0))
			if at == 0 {
				if code := o.post(); code != 500 {
					t.Errorf("a job that cannot be kept: code %d", code)
				}
			}
			d.origin.Release()
			o.wantExit(2, "write the journal: ")
			d.wantUnpublished()
			o = d.serveJob()
			o.wantReady()
			o.stop()
		})
	}
}

// Every kind of call of the download fails once with EIO. Bytes whose sync has
// failed are never synced again: the next attempt begins after the last
// checkpoint.
func TestInputOutputErrorAtEveryCall(t *testing.T) {
	const part, journal = packageName + ".otad-part", "journal.db"
	atEachCall(t, 5, unix.EIO, []failingCall{
		{"pwrite", part, []int{1, 3, 5}},
		{"fdatasync", part, []int{1, 3, 5}},
		{"pwrite", journal, []int{9, 11, 16, 22, 25}},
		{"fdatasync", journal, []int{9, 10, 11, 14, 17}},
		{"fallocate", part, []int{1}},
		{"openat", part, []int{1, 2}},
		{"fsync", part, []int{1}},
		{"fsync", packageName, []int{1}},
		{"renameat", part, []int{1}},
	}, func(t *testing.T, d *device, tt failingCall, n int) {
		last := d.fetch().wantExit(1, "DOWNLOAD_FAILED: ")
		if !strings.Contains(last, "input/output error") {
			t.Errorf("the error does not name the cause: %q", last)
		}
		calls := d.medium.made(tt.what, tt.file)
		if len(calls) < n {
			t.Fatalf("only %d calls were made", len(calls))
		}
		if tt.file != journal && len(calls) > n {
			t.Errorf("%d calls were made after the one that failed", len(calls)-n)
		}
		d.wantUnpublishedOrWhole()
		d.medium.set(nil)
		d.fetch().wantReady()
	})
}

// wantUnpublishedOrWhole expects no package or a whole one, for failures around
// the rename.
func (d *device) wantUnpublishedOrWhole() {
	d.t.Helper()
	if n := d.size(packageName); n >= 0 && n != d.object.Len() {
		d.t.Errorf("a package of %d bytes is published, it has %d", n, d.object.Len())
	}
}

// otad reads a journal three times before it gives a download up because of
// read errors.
func TestInputOutputErrorWhereTheJournalIsRead(t *testing.T) {
	const journal, asideName = "journal.db", "journal.db.corrupt"
	for _, what := range []string{"fsync", "pread"} {
		for errors := 1; errors <= 3; errors++ {
			t.Run(fmt.Sprintf("%s fails %d times", what, errors), func(t *testing.T) {
				t.Parallel()
				d := newDevice(t, t.TempDir(), 1_000_000, origintest.On(1).StallAt(3*interval+1))
				r := d.fetch()
				d.awaitStall(3 * interval)
				r.Kill()
				d.origin.Release()
				d.medium = &medium{rule: first(errors, what, journal, unix.EIO)}
				o := d.serve()
				lost := errors == 3
				if aside := d.size(asideName) >= 0; aside != lost {
					t.Fatalf("set aside: %v\n%s", aside, &o.Stderr)
				}
				if lost {
					if d.size(packageName+".otad-part") >= 0 {
						t.Error("the partial file has outlived its journal")
					}
					o.post()
				}
				o.wantReady()
				if lost {
					d.wantLastRange(0)
				} else {
					d.wantLastRange(3 * interval)
				}
				if n := len(d.medium.made("renameat", journal)); (n == 1) != lost || n > 1 {
					t.Errorf("set aside %d times", n)
				}
				o.stop()
			})
		}
	}
}

// On a medium that goes on failing, each attempt of the same job ends by
// itself.
func TestDaemonOnAMediumThatGoesOnFailing(t *testing.T) {
	for _, what := range []string{"pwrite", "fdatasync"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, t.TempDir(), 1_000_000, origintest.On(1).StallAt(2*interval+1))
			d.medium = new(medium)
			o := d.serveJob()
			d.awaitStall(2 * interval)
			d.medium.set(func(c call) fault {
				if c.what == what && c.file == packageName+".otad-part" {
					return fault{errno: unix.EIO}
				}
				return fault{}
			})
			d.origin.Release()
			for range 3 {
				if p := o.wantFailed("DOWNLOAD_FAILED: "); p.Durable != 2*interval || !strings.Contains(p.Error, "input/output error") {
					t.Errorf("%+v", p)
				}
				if o.health() != 200 {
					t.Error("the journal is well, and healthz denies it")
				}
				o.post()
			}
			o.wantFailed("DOWNLOAD_FAILED: ")
			d.medium.set(nil)
			o.post()
			o.wantReady()
			d.wantLastRange(2 * interval)
			o.stop()
		})
	}
}
