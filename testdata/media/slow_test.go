package media_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"otad/netio/origintest"
)

// slow is a rule that delays every call of that kind on the package.
func slow(what string, d time.Duration) rule {
	return func(c call) fault {
		if c.what == what && c.file == packageName+".otad-part" {
			return fault{delay: d}
		}
		return fault{}
	}
}

// awaitCall waits until otad has made n calls of a kind on the package.
func (d *device) awaitCall(what string, n int) {
	d.t.Helper()
	eventually(d.t, "otad is in "+what, func() bool { return len(d.medium.made(what, packageName+".otad-part")) >= n })
}

func TestProgressIsAnsweredInTheMiddleOfASlowSync(t *testing.T) {
	const long = 2 * time.Second
	d := newDevice(t, t.TempDir(), 4*interval)
	d.medium = &medium{rule: slow("fdatasync", long)}
	o := d.serveJob()
	d.awaitCall("fdatasync", 1)
	begun := time.Now()
	var took []time.Duration
	for range 20 {
		at := time.Now()
		if p := o.progress(); p.State != "Downloading" || p.Durable != 0 {
			t.Errorf("in the middle of the first sync: %+v", p)
		}
		took = append(took, time.Since(at))
	}
	if time.Since(begun) > long {
		t.Fatal("the sync was over before the requests were")
	}
	slices.Sort(took)
	t.Logf("median %v, longest %v", took[len(took)/2], took[len(took)-1])
	// A busy machine can delay one request; a wait for the sync would delay all.
	if took[len(took)/2] > 100*time.Millisecond {
		t.Errorf("progress takes %v", took)
	}
	o.post() // nor does a command wait
	if time.Since(begun) > long {
		t.Error("the same job again waits for the sync")
	}
	d.medium.set(nil)
	o.awaitState("Ready")
	o.stop()
}

func TestStopOfASlowDisk(t *testing.T) {
	const mega, block = 1 << 20, 512 << 10 // block is the size of otad's writes
	for _, tt := range []struct {
		what       string // that is slow
		takes      time.Duration
		checkpoint int64
		size       int64
		least      int64 // durable after it
	}{
		{"fdatasync", 300 * time.Millisecond, interval, 100 * interval, 3 * interval},
		{"fdatasync", time.Second, interval, 100 * interval, 3 * interval},
		{"fdatasync", time.Second, interval, 5 * interval, 3 * interval}, // all of it has been received before the stop
		// At the stop, many intervals are in memory.
		{"pwrite", 100 * time.Millisecond, interval, 100 * interval, 2 * interval},
		{"pwrite", 300 * time.Millisecond, interval, 100 * interval, 2 * interval},
		{"pwrite", time.Second, interval, 100 * interval, 2 * interval},
		// At the stop, less than one interval is in memory.
		{"pwrite", 400 * time.Millisecond, 64 * mega, 100 * mega, mega},
		{"pwrite", time.Second, 2 * mega, 100 * mega, mega}, // 0.5 MiB a second
	} {
		t.Run(fmt.Sprintf("%s of %v, %d bytes, checkpoints of %d", tt.what, tt.takes, tt.size, tt.checkpoint), func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, t.TempDir(), tt.size)
			d.flags[1] = strconv.FormatInt(tt.checkpoint, 10)
			d.medium = &medium{rule: slow(tt.what, tt.takes)}
			o := d.serveJob()
			d.awaitCall(tt.what, 3)
			took := o.stop()
			state, durable := d.recorded()
			t.Logf("stopped after %v with %d bytes durable", took, durable)
			if took > 2*time.Second {
				t.Errorf("SIGTERM took %v", took)
			}
			if state != "Downloading" || durable < tt.least || durable == tt.size {
				t.Errorf("%s with %d bytes durable: what was under way was for nothing, or more was waited for", state, durable)
			}
			// A stop may end in a power cut.
			if n, most := d.medium.unsynced(packageName+".otad-part"), max(tt.checkpoint/block, 1); n > most {
				t.Errorf("%d writes were made in a row, of which each interval has %d", n, most)
			}
			d.medium.set(nil)
			d.fetch().wantReady()
			d.wantLastRange(durable)
		})
	}
}

// The bytes since the last checkpoint do not justify another one that takes
// longer than a stop may take.
func TestStopBetweenTwoSlowSyncs(t *testing.T) {
	const mega = 1 << 20
	d := newDevice(t, t.TempDir(), 100*mega, origintest.On(1).StallAt(5*mega/2))
	d.flags[1] = strconv.Itoa(2 * mega)
	d.medium = &medium{rule: slow("fdatasync", 2500*time.Millisecond)}
	o := d.serveJob()
	d.awaitCall("pwrite", 5)
	d.awaitDurable(2 * mega)
	o.stopInTime()
	if state, durable := d.recorded(); state != "Downloading" || durable != 2*mega {
		t.Errorf("%s with %d bytes durable", state, durable)
	}
}
