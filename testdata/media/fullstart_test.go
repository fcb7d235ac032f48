package media_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/netio/origintest"
)

func TestStateDirectoryThatIsFullAtTheStart(t *testing.T) {
	for name, mount := range fileSystems("4m") {
		t.Run(name+", no journal yet", func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, mount(t), 1_000_000)
			filler := fill(t, d.dir)
			r := d.fetch()
			if code, last := r.wait(); code != 4 && code != 2 || !strings.Contains(last, "the file system is full, 64 KiB are needed") {
				t.Errorf("otad ended with %d and %q", code, last)
			}
			filler.free(t)
			if left, _ := filepath.Glob(d.path("*journal.[^l]*")); left != nil { // all but the lock
				t.Errorf("left behind: %v", left)
			}
			d.fetch().wantReady()
		})
		t.Run(name+", with a journal", func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, mount(t), 1_000_000, origintest.On(1).StallAt(2*interval+5))
			r := d.fetch()
			d.awaitStall(2 * interval)
			r.Kill()
			// Free the space that the killed process had reserved.
			check(t, os.Truncate(d.path(packageName+".otad-part"), 2*interval))
			filler := fill(t, d.dir)
			d.fetch().wantExit(4, "DISK_FULL")
			d.wantStillFull()
			filler.free(t)
			d.fetch().wantReady()
			d.wantLastRange(2 * interval)
		})
	}
}
