package fsm_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// The tests in synctest bubbles see every goroutine that is left behind; these
// look at the real thing, over TCP.

// goesDown waits until a count, which is let go of in the background, is back
// to what it was.
func goesDown(t *testing.T, what string, to int, count func() int) {
	t.Helper()
	late := time.After(5 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for count() > to {
		select {
		case <-tick.C:
		case <-late:
			t.Errorf("%d %s are left, there were %d before", count(), what, to)
			return
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// mappings is how many pieces this process' memory has.
func mappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	return bytes.Count(maps, []byte("\n"))
}

func TestNoGoroutineOutlivesRun(t *testing.T) {
	before := runtime.NumGoroutine()
	r := newRigOn(t, origintest.Config{Script: []*origintest.Rule{origintest.On(2).StallAt(interval)}}).begin()
	r.fetched()
	r.start(r.other())
	<-r.origin.Stalled()
	r.end()
	r.origin.Close()
	goesDown(t, "goroutines", before, runtime.NumGoroutine)
}

func TestStartAndResetLeaveNoFileOpenAndNoMemoryMapped(t *testing.T) {
	const cycles = 200
	object := origintest.Object{Size: 1 << 20, Seed: 1}
	origin := origintest.New(t, object, origintest.Always().StallAt(1000))
	dir := t.TempDir()
	u, closeAll := plainUpdater(t, dir, nil)
	defer closeAll()
	job := journal.Job{Name: "u.bin", URL: origin.URL(), Size: object.Size, MD5: object.MD5()}
	cycle := func() {
		must(t, u.Start(t.Context(), job))
		<-origin.Stalled()
		must(t, u.Reset(t.Context()))
	}
	cycle() // opens what stays open
	open, mapped := descriptors(t), mappings(t)
	for range cycles {
		cycle()
	}
	goesDown(t, "descriptors", open, func() int { return descriptors(t) })
	// The heap, and threads' stacks, may need some more.
	goesDown(t, "mappings", mapped+cycles/4, func() int { return mappings(t) })
	if _, err := os.Lstat(filepath.Join(dir, "u.bin.otad-part")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the partial file: %v", err)
	}
}

func TestRunEndsSoonInTheMiddleOfATransfer(t *testing.T) {
	r := newRigOn(t, origintest.Config{Object: sample(1, 8<<20), Link: origintest.Link{BytesPerSecond: 2 << 20}}).begin()
	r.until(func(s fsm.Snapshot) bool { return s.Durable > 0 })
	begin := time.Now()
	r.end()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if rec, offset := r.record(); rec.State != string(fsm.Downloading) || offset == 8<<20 {
		t.Errorf("stopped in %s at %d: not the middle", rec.State, offset)
	}
}
