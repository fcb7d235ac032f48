package media_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"otad/board"
	"otad/fsm"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
	"otad/netio/origintest"

	"log/slog"
)

// slowStore is a state directory on a medium whose syncs take their time.
type slowStore struct {
	*board.StateDir
	sync time.Duration
}

func (s slowStore) OpenPartial(name string) (fsm.Partial, error) {
	p, err := s.StateDir.OpenPartial(name)
	return slowPartial{p, s.sync}, err
}

func (s slowStore) Published(name string) (fsm.Published, error) { return s.StateDir.Published(name) }

type slowPartial struct {
	*board.Partial
	sync time.Duration
}

func (p slowPartial) Sync() error {
	time.Sleep(p.sync)
	return p.Partial.Sync()
}

// slowJournal lies on the same medium: a transaction of bbolt is two syncs.
type slowJournal struct {
	*journal.Journal
	sync time.Duration
}

func (j slowJournal) Commit(cp journal.Checkpoint) error {
	time.Sleep(2 * j.sync)
	return j.Journal.Commit(cp)
}

func (j slowJournal) Update(f func(*journal.Record)) (journal.Record, error) {
	time.Sleep(2 * j.sync)
	return j.Journal.Update(f)
}

// newUpdater makes the machine on the slow medium, with an interval of 1 MiB.
func newUpdater(t *testing.T, o *origintest.Origin, sync time.Duration, seen func(fsm.Snapshot)) *fsm.Updater {
	t.Helper()
	dir, err := board.OpenStateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	j, err := journal.Open(dir.Path(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	fetcher, err := netio.New(netio.Config{Dial: o.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fetcher.Close)
	labels := metrics.Labels{}
	for _, s := range fsm.States() {
		labels.States = append(labels.States, s.Label())
	}
	u, err := fsm.New(fsm.Deps{Journal: slowJournal{j, sync}, Store: slowStore{dir, sync}, Source: fetcher,
		Metrics: metrics.New(labels, metrics.BuildInfo{Version: "test"}), Log: slog.New(slog.DiscardHandler)},
		fsm.Config{Checkpoint: 1 << 20, Retries: 3, Observe: seen})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// The network does not wait for the disk, nor the disk for the network: a
// download takes as long as the slower of the two. Time is that of a bubble, so
// the figures are exact.
func TestNetworkAndDiskOverlap(t *testing.T) {
	const size = 64 << 20
	for _, sync := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond} {
		bound := size >> 20 * 3 * sync // a sync of the data and two of the journal for each interval
		for name, link := range map[string]time.Duration{"faster": bound * 8 / 10, "no slower": bound, "slower": bound * 12 / 10} {
			t.Run(fmt.Sprintf("sync of %v, a link that is %s than the disk", sync, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					object := origintest.Object{Size: size, Seed: 7}
					o := origintest.NewConfig(t, origintest.Config{Object: object, InMemory: true,
						Link: origintest.Link{BytesPerSecond: int64(size / link.Seconds())}})
					ready := make(chan struct{})
					u := newUpdater(t, o, sync, func(s fsm.Snapshot) {
						if s.State == fsm.Ready {
							close(ready)
						}
					})
					ctx, stop := context.WithCancel(t.Context())
					ended := make(chan error)
					go func() { ended <- u.Run(ctx) }()
					begun := time.Now()
					if err := u.Start(ctx, journal.Job{Version: "1.2.3", URL: o.URL(), Name: packageName, Size: size, MD5: object.MD5()}); err != nil {
						t.Fatal(err)
					}
					<-ready
					took := time.Since(begun)
					stop()
					<-ended
					slower := max(link, bound)
					t.Logf("%v; link %v, disk %v: %.3f", took, link, bound, took.Seconds()/slower.Seconds())
					if took > slower*11/10 {
						t.Errorf("%v, more than 1.1 times the slower of link (%v) and disk (%v)", took, link, bound)
					}
				})
			})
		}
	}
}

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
