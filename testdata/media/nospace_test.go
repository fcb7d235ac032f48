package media_test

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// File systems report a full disk at different calls: some accept every write
// and refuse the sync, and on one that copies on write the journal has no space
// of its own. Each call fails once at the start, in the middle and at the end.
func TestNoSpaceIsFoundAtEveryCall(t *testing.T) {
	const part, journal = packageName + ".otad-part", "journal.db"
	const last = 5 // checkpoints of the package
	atEachCall(t, last, unix.ENOSPC, []failingCall{
		{"pwrite", part, []int{1, 3, last}},
		{"fdatasync", part, []int{1, 3, last}},
		{"pwrite", journal, []int{9, 10, 16, 22}},
		{"fdatasync", journal, []int{9, 10, 14}},
		{"fallocate", part, []int{1}},
		{"openat", part, []int{1}},
		{"fsync", part, []int{1}},
		{"fsync", packageName, []int{1}}, // after the rename
		{"renameat", part, []int{1}},
	}, func(t *testing.T, d *device, tt failingCall, n int) {
		last := d.fetch().wantExit(4, "DISK_FULL: need ")
		if calls := len(d.medium.made(tt.what, tt.file)); calls < n {
			t.Fatalf("only %d calls were made", calls)
		}
		_, durable := d.recorded()
		if need, _ := space(t, last); need != d.object.Len()-durable {
			t.Errorf("%q, %d of %d bytes are durable", last, durable, d.object.Len())
		}
		d.medium.set(nil)
		d.fetch().wantReady()
		if served := d.origin.BytesServed(); served > d.object.Len()+4*interval+1<<20 {
			t.Errorf("%d bytes were served for a package of %d", served, d.object.Len())
		}
	})
}

// failingCall is a kind of call that fails once, and the numbers of the calls, one
// in each test.
type failingCall struct {
	what, file string
	calls      []int
}

// atEachCall runs a test on a new device for each of the calls, which fails with
// errno. The package has so many checkpoints.
func atEachCall(t *testing.T, checkpoints int64, errno unix.Errno, failing []failingCall, test func(*testing.T, *device, failingCall, int)) {
	for _, tt := range failing {
		for _, n := range tt.calls {
			t.Run(fmt.Sprintf("%s of %s number %d", tt.what, tt.file, n), func(t *testing.T) {
				t.Parallel()
				d := newDevice(t, t.TempDir(), checkpoints*interval-1000)
				d.medium = &medium{rule: nth(n, tt.what, tt.file, errno)}
				test(t, d, tt, n)
			})
		}
	}
}
