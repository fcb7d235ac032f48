package media_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"otad/netio/origintest"
)

// As on a real board: ext4 finds an error and turns itself read-only.
func TestFetchOnAFileSystemThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	m := newImage(t, 16, "32m")
	d := newDevice(t, m.dir, 2_000_000, origintest.On(1).StallAt(3*interval+1))
	r := d.fetch()
	d.awaitStall(3 * interval)
	m.breaks()
	begun := time.Now()
	d.origin.Release()
	code, last := r.wait()
	if code != 1 || !strings.HasPrefix(last, "DOWNLOAD_FAILED: ") || !strings.Contains(last, "read-only file system") {
		t.Errorf("otad ended with %d and %q", code, last)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("that took %v", took)
	}
	d.wantUnpublished()
	d.status()
	// Before the repair otad refuses to start and names the reason.
	if code, last := d.fetch().wait(); code != 2 || !strings.Contains(last, "read-only") {
		t.Errorf("otad ended with %d and %q", code, last)
	}
	m.repair()
	d.wantResume()
}

// ext4 is writable again only after an unmount, for which otad has to end.
func TestDaemonOnAFileSystemThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	m := newImage(t, 16, "32m")
	d := newDevice(t, m.dir, 2_000_000, origintest.On(1).StallAt(3*interval+1))
	o := d.serveJob()
	d.awaitStall(3 * interval)
	m.breaks()
	d.origin.Release()
	o.awaitJournalError()
	o.wantIdle(t)
	if p := o.progress(); !strings.Contains(p.Message+p.Error, "read-only file system") {
		t.Errorf("shown is %+v", p)
	}
	d.wantUnpublished()
	o.stopInTime()
	m.repair()
	_, durable := d.recorded()
	o = d.serve() // takes the job up by itself
	o.wantReady()
	d.wantLastRange(durable)
	o.stop()
}

// A file system that was read-only for some time is writable again.
func TestDaemonRecoversWhenTheFileSystemIsWritableAgain(t *testing.T) {
	for name, at := range map[string]int64{"in the middle": 3*interval + 1, "before the first checkpoint": 1, "at the last byte": 2_000_000 - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, t.TempDir(), 2_000_000, origintest.On(1).StallAt(at))
			d.medium = new(medium)
			o := d.serveJob()
			d.awaitStall(at / interval * interval)
			d.medium.set(readOnly)
			d.origin.Release()
			o.awaitJournalError()
			o.wantIdle(t)
			if code := o.post(); code != 200 {
				t.Errorf("the same job again: code %d", code)
			}
			d.wantUnpublished()
			d.medium.set(nil)
			o.wantFailed("DOWNLOAD_FAILED: ")
			if o.health() != 200 {
				t.Error("healthz still complains")
			}
			_, durable := d.recorded()
			o.post()
			o.wantReady()
			d.wantLastRange(durable)
			o.stop()
		})
	}
}

// A job that cannot be recorded is refused. The next one is accepted.
func TestDaemonThatRestsOnAReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	d := newDevice(t, t.TempDir(), 2*interval)
	d.medium = new(medium)
	o := d.serve()
	d.medium.set(readOnly)
	if code := o.post(); code != 500 {
		t.Errorf("a job that cannot be kept: code %d", code)
	}
	if o.health() != 503 || o.progress().State != "Idle" || len(d.origin.Requests()) != 0 {
		t.Errorf("healthz %d, %+v, %d requests", o.health(), o.progress(), len(d.origin.Requests()))
	}
	d.medium.set(nil)
	if code := o.post(); code != 200 || o.health() != 200 {
		t.Errorf("writable again: code %d, healthz %d", code, o.health())
	}
	o.wantReady()
	o.stop()
}

func TestReadOnlyStateDirectoryAtTheStart(t *testing.T) {
	t.Parallel()
	dir := mountTmpfs(t, "8m")
	d := newDevice(t, dir, 2*interval)
	d.fetch().wantReady()
	check(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if code, last := d.fetch().wait(); code != 2 || !strings.Contains(last, "read-only file system: mount it read-write") {
		t.Errorf("otad ended with %d and %q", code, last)
	}
	if output := d.status(); !strings.Contains(output, "Ready") {
		t.Errorf("status: %s", output)
	}
	check(t, unix.Mount("", dir, "", unix.MS_REMOUNT, ""))
	d.fetch().wantReady()
}
