package media_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/netio/origintest"
)

func TestStateDirectoryThatIsFullAtTheStart(t *testing.T) {
	for name, mount := range map[string]func(*testing.T) string{
		"tmpfs":                func(t *testing.T) string { return mountTmpfs(t, "4m") },
		"ext4":                 func(t *testing.T) string { return newImage(t, 8, "16m").dir },
		"ext4 without extents": func(t *testing.T) string { return newImage(t, 8, "16m", "-O", "^extent,^64bit").dir },
	} {
		t.Run(name+", no journal yet", func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, mount(t), 1_000_000)
			filler := fill(t, d.dir)
			r := d.fetch()
			if code, last := r.wait(); code != 4 && code != 2 || !strings.Contains(last, "the file system is full, 64 KiB are needed") {
				t.Errorf("otad ended with %d and %q", code, last)
			}
			filler.free(t)
			if left, _ := filepath.Glob(d.path("*journal*")); left != nil {
				t.Errorf("left behind: %v", left)
			}
			d.fetch().wantReady()
		})
		t.Run(name+", with a journal", func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, mount(t), 1_000_000, origintest.On(1).StallAt(2*interval+5))
			r := d.fetch()
			<-d.origin.Stalled()
			d.awaitDurable(2 * interval)
			r.Kill()
			// What the killed one had reserved is free again.
			if err := os.Truncate(d.path(packageName+".part"), 2*interval); err != nil {
				t.Fatal(err)
			}
			filler := fill(t, d.dir)
			d.fetch().wantExit(4, "DISK_FULL")
			d.wantStillFull()
			filler.free(t)
			d.fetch().wantReady()
			d.wantLastRange(2 * interval)
		})
	}
}
