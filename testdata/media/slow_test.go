package media_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// slowSyncs is a rule: every sync of the package takes that long.
func slowSyncs(d time.Duration) rule {
	return func(c call) fault {
		if c.what == "fdatasync" && c.file == packageName+".part" {
			return fault{delay: d}
		}
		return fault{}
	}
}

// awaitSync waits until otad is in the middle of sync number n of the package.
func (d *device) awaitSync(n int) {
	d.t.Helper()
	eventually(d.t, "otad is in a sync", func() bool { return len(d.medium.made("fdatasync", packageName+".part")) >= n })
}

func TestProgressIsAnsweredInTheMiddleOfASlowSync(t *testing.T) {
	const slow = 2 * time.Second
	d := newDevice(t, t.TempDir(), 4*interval)
	d.medium = new(medium)
	d.medium.set(slowSyncs(slow))
	o := d.serve()
	o.post()
	d.awaitSync(1)
	begun := time.Now()
	var took []time.Duration
	for range 20 {
		at := time.Now()
		if p := o.progress(); p.State != "Downloading" || p.Durable != 0 {
			t.Errorf("in the middle of the first sync: %+v", p)
		}
		took = append(took, time.Since(at))
	}
	if time.Since(begun) > slow {
		t.Fatal("the sync was over before the questions were")
	}
	slices.Sort(took)
	t.Logf("median %v, longest %v", took[len(took)/2], took[len(took)-1])
	// The longest is this machine's to answer for; a wait for the sync would show in all.
	if took[len(took)/2] > 100*time.Millisecond {
		t.Errorf("progress takes %v", took)
	}
	o.post() // nor does a command wait
	if time.Since(begun) > slow {
		t.Error("the same job again waits for the sync")
	}
	d.medium.set(nil)
	o.awaitState("Ready")
	o.stop()
}

func TestStopInTheMiddleOfASlowSync(t *testing.T) {
	for _, tt := range []struct {
		slow time.Duration // a sync
		size int64
	}{
		{300 * time.Millisecond, 100 * interval},
		{time.Second, 100 * interval},
		{time.Second, 5 * interval}, // all of it has been received before the stop
	} {
		t.Run(fmt.Sprintf("sync of %v, %d bytes", tt.slow, tt.size), func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, t.TempDir(), tt.size)
			d.medium = new(medium)
			d.medium.set(slowSyncs(tt.slow))
			o := d.serve()
			o.post()
			d.awaitSync(3)
			took := o.stop()
			state, durable := d.recorded()
			t.Logf("stopped after %v with %d bytes durable", took, durable)
			if took > 2*time.Second {
				t.Errorf("SIGTERM took %v", took)
			}
			if state != "Downloading" || durable < 3*interval || durable == tt.size {
				t.Errorf("%s with %d bytes durable: the sync under way was for nothing, or more was waited for", state, durable)
			}
			d.medium.set(nil)
			d.fetch().wantReady()
			d.wantLastRange(durable)
		})
	}
}
