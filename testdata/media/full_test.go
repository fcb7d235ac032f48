package media_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"otad/netio/origintest"
)

// space returns the figures in the text of a DISK_FULL.
func space(t *testing.T, text string) (need, free int64) {
	t.Helper()
	m := regexp.MustCompile(`DISK_FULL: need (\d+) bytes, (\d+) free( \(.*no space left on device\))?$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("not the error of a full disk: %q", text)
	}
	need, _ = strconv.ParseInt(m[1], 10, 64)
	free, _ = strconv.ParseInt(m[2], 10, 64)
	return need, free
}

// freeBytes returns the bytes that a user without privileges may still write.
func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	check(t, unix.Statfs(dir, &st))
	return int64(st.Bavail) * int64(st.Frsize)
}

func TestPackageThatDoesNotFitIsRefusedBeforeItsFirstByte(t *testing.T) {
	for name, mount := range fileSystems("2m") {
		for _, learned := range []bool{false, true} {
			for _, minFree := range []int64{0, 500_000} {
				t.Run(fmt.Sprintf("%s, size learned %v, %d to be left", name, learned, minFree), func(t *testing.T) {
					t.Parallel()
					d := newDevice(t, mount(t), 100_000_000)
					d.flags = append(d.flags, "-min-free", strconv.FormatInt(minFree, 10))
					d.learns = learned
					need, free := space(t, d.fetch().wantExit(4, "DISK_FULL"))
					now := freeBytes(t, d.dir)
					if slack := now - minFree - free; need != d.object.Len() || slack < 0 || slack > 8192 {
						t.Errorf("%d bytes needed, %d free, are reported; want %d and %d", need, free, d.object.Len(), now-minFree)
					}
					if n := d.origin.BytesServed(); !learned && n != 0 {
						t.Errorf("%d bytes were fetched", n)
					}
					d.wantOnlyJournal()
					if output := d.status(); !strings.Contains(output, "Failed") || !strings.Contains(output, "DISK_FULL") {
						t.Errorf("status: %s", output)
					}
				})
			}
		}
	}
}

// wantOnlyJournal expects that the job has left nothing but the journal.
func (d *device) wantOnlyJournal() {
	d.t.Helper()
	entries, err := os.ReadDir(d.dir)
	check(d.t, err)
	for _, e := range entries {
		if e.Name() != "journal.db" && e.Name() != "journal.lock" && e.Name() != "lost+found" {
			d.t.Errorf("left behind: %s", e.Name())
		}
	}
}

// The flag -min-free holds to the block.
func TestMinFreeIsLeftToTheBlock(t *testing.T) {
	const size = 1 << 20
	for name, minFree := range map[string]int64{"just enough": 0, "one block short": 4096} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, mountTmpfs(t, "2m"), size)
			d.fetch("-md5", strings.Repeat("0", 32)).wantExit(3, "MD5_MISMATCH") // makes the journal
			leave := freeBytes(t, d.dir) - size + minFree
			r := d.fetch("-min-free", strconv.FormatInt(leave, 10))
			if minFree > 0 {
				r.wantExit(4, "DISK_FULL")
				return
			}
			r.wantReady()
			if free := freeBytes(t, d.dir); free != leave {
				t.Errorf("%d bytes are left free, want %d", free, leave)
			}
		})
	}
}

// Other programs cannot use the reserved space: the disk is full, and the
// package becomes Ready.
func TestReservedPackageOutlastsAFullDisk(t *testing.T) {
	for name, mount := range map[string]func(*testing.T) string{
		"tmpfs": func(t *testing.T) string { return mountTmpfs(t, "8m") },
		"ext4":  func(t *testing.T) string { return newImage(t, 8, "16m").dir },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, mount(t), 2_000_000, origintest.On(1).StallAt(3*interval+1))
			r := d.fetch()
			d.awaitStall(3 * interval)
			fill(t, d.dir)
			d.origin.Release()
			r.wantReady()
		})
	}
}

// full are file systems on which otad cannot reserve space.
var full = map[string]func(*testing.T) *device{
	"ext4 without extents": func(t *testing.T) *device {
		return newDevice(t, newImage(t, 8, "16m", "-O", "^extent,^64bit").dir, 2_000_000)
	},
	"tmpfs that cannot reserve": func(t *testing.T) *device {
		d := newDevice(t, mountTmpfs(t, "8m"), 2_000_000)
		d.medium = new(medium)
		d.medium.set(func(c call) fault {
			if c.what == "fallocate" {
				return fault{errno: unix.EOPNOTSUPP}
			}
			return fault{}
		})
		return d
	},
}

func TestDiskThatRunsFullInTheMiddle(t *testing.T) {
	for name, device := range full {
		for _, at := range []int64{1, interval - 1, interval, 5*interval + 4097, 1_000_000, 1_999_999} {
			t.Run(fmt.Sprintf("%s, at %d", name, at), func(t *testing.T) {
				t.Parallel()
				d := device(t)
				d.restage(origintest.On(1).StallAt(at))
				r := d.fetch()
				d.awaitStall(at / interval * interval)
				filler := fill(t, d.dir)
				d.origin.Release()
				d.wantFull(r, at)
				d.wantStillFull()
				filler.free(t)
				d.wantResume()
			})
		}
	}
}

// restage replaces the device's origin by another one with the same package.
func (d *device) restage(script ...*origintest.Rule) {
	d.t.Helper()
	d.origin = origintest.New(d.t, d.object, script...)
}

// wantFull expects that a run ends because the disk is full from byte at on.
func (d *device) wantFull(r *run, at int64) {
	d.t.Helper()
	need, free := space(d.t, r.wantExit(4, "DISK_FULL"))
	state, durable := d.recorded()
	// A few more bytes may still fit: the tail of a block, or a block of the file
	// system that the filler could not use.
	if state != "Failed" || durable < at/interval*interval || durable > at+interval {
		d.t.Errorf("the journal holds %s with %d bytes durable, the disk was full from %d on", state, durable, at)
	}
	if need != d.object.Len()-durable || free > interval {
		d.t.Errorf("%d bytes needed, %d free, are reported of %d missing", need, free, d.object.Len()-durable)
	}
	if left := d.size(packageName + ".otad-part"); left != max(durable, 0) && (durable != 0 || left != -1) {
		d.t.Errorf("the partial file has %d bytes, %d are durable", left, durable)
	}
	d.wantUnpublished()
}

// wantStillFull runs otad on a disk that is full. The journal has its own space
// and records the same end again, and status prints it.
func (d *device) wantStillFull() {
	d.t.Helper()
	d.fetch().wantExit(4, "DISK_FULL")
	if output := d.status(); !strings.Contains(output, "DISK_FULL") {
		d.t.Errorf("status: %s", output)
	}
}
