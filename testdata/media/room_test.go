package media_test

import (
	"fmt"
	"strings"
	"testing"
)

// On a disk that has room for three packages, the oldest of three makes room for
// a fourth one, over several processes. One that is kept does not.
func TestEarlierPackageMakesRoom(t *testing.T) {
	for name, mount := range fileSystems("4m") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := mount(t)
			d := newDevice(t, dir, freeBytes(t, dir)*10/35)
			fetch := func(n int, more ...string) *run {
				return d.fetch(append([]string{"-name", fmt.Sprint(n, ".bin")}, more...)...)
			}
			for n := range 3 {
				if code, last := fetch(n).wait(); code != 0 {
					t.Fatalf("%d: %s", code, last)
				}
			}
			fetch(3, "-keep", "3").wantExit(4, "DISK_FULL: need ")
			fetch(3, "-keep", "all").wantExit(4, "DISK_FULL: need ")
			r := fetch(3)
			if code, last := r.wait(); code != 0 || strings.Count(r.Stderr.String(), "deleted to make room") != 1 {
				t.Errorf("%d: %s\n%s", code, last, &r.Stderr)
			}
			for n := range 4 {
				if there := d.size(fmt.Sprint(n, ".bin")) >= 0; there != (n > 0) {
					t.Errorf("%d.bin is there: %v", n, there)
				}
			}
		})
	}
}
