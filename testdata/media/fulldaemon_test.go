package media_test

import (
	"fmt"
	"strings"
	"testing"

	"otad/netio/origintest"
)

// The journal's space is reserved when the journal is made. On a disk that is
// full ever since, it still holds the largest record: here a long URL and all
// the transitions that could not be delivered.
func TestJournalThatGrowsOnAFullDisk(t *testing.T) {
	for name, mount := range fileSystems("4m") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, mount(t), 1_000_000)
			d.flags = append(d.flags, "-callback-url", "http://127.0.0.1:1/")
			o := d.serve()
			filler := fill(t, d.dir)
			for i := range 20 {
				url := fmt.Sprintf("%s?n=%d&signature=%s", d.origin.URL(), i, strings.Repeat("x", 200*i))
				if code := o.postURL(url); code != 200 {
					t.Fatalf("job %d: code %d\n%s", i, code, &o.Stderr)
				}
				o.wantFailed("DISK_FULL: need 1000000 bytes, ")
			}
			if o.health() != 200 {
				t.Error("healthz complains")
			}
			filler.free(t)
			o.post()
			o.wantReady()
			o.stop()
		})
	}
}

func TestDaemonOnADiskThatRunsFull(t *testing.T) {
	for name, device := range full {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := device(t)
			d.restage(origintest.On(1).StallAt(4*interval + 1))
			o := d.serve()
			if code := o.post(); code != 200 {
				t.Fatalf("post: %d", code)
			}
			d.awaitStall(4 * interval)
			filler := fill(t, d.dir)
			d.origin.Release()
			p := o.wantFailed("DISK_FULL: need ")
			if o.health() != 200 {
				t.Error("the journal has space of its own, and healthz denies it")
			}
			o.post()
			o.wantFailed("DISK_FULL: need ")
			filler.free(t)
			o.post()
			o.wantReady()
			d.wantLastRange(p.Durable)
			o.stop()
		})
	}
}
