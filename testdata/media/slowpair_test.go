package media_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
	"otad/netio/origintest"
)

// slowStore is a state directory on a medium with slow syncs.
type slowStore struct {
	*storage.StateDir
	sync time.Duration
}

func (s slowStore) OpenPartial(name string) (fsm.Partial, error) {
	p, err := s.StateDir.OpenPartial(name)
	return slowPartial{p, s.sync}, err
}

func (s slowStore) Published(name string) (fsm.Published, error) { return s.StateDir.Published(name) }

type slowPartial struct {
	*storage.Partial
	sync time.Duration
}

func (p slowPartial) Sync() error {
	time.Sleep(p.sync)
	return p.Partial.Sync()
}

// slowJournal is a journal on the same medium: a transaction of bbolt makes two
// syncs.
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

// slowPair is a medium and a link. Time is that of a synctest bubble, so
// durations are exact, and the same on every machine.
type slowPair struct {
	sync           time.Duration // that one sync takes
	bytesPerSecond int64         // of the link
	checkpoint     int64
	size           int64
}

// link returns the time that the link alone takes.
func (p slowPair) link() time.Duration {
	return time.Duration(float64(p.size) / float64(p.bytesPerSecond) * float64(time.Second))
}

// disk returns the time that the syncs alone take. One of the data and, beside the
// next interval's, two of the journal: the two of the journal are the slower.
func (p slowPair) disk() time.Duration {
	return time.Duration((p.size+p.checkpoint-1)/p.checkpoint) * 2 * p.sync
}

// over returns took divided by the time of the slower of the two.
func (p slowPair) over(took time.Duration) float64 {
	return took.Seconds() / max(p.link(), p.disk()).Seconds()
}

// download returns the time from the start to Ready.
func (p slowPair) download(t *testing.T) (took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		object := origintest.Object{Size: p.size, Seed: 7}
		o := origintest.NewConfig(t, origintest.Config{Object: object, InMemory: true, Link: origintest.Link{BytesPerSecond: p.bytesPerSecond}})
		ready := make(chan struct{})
		u := p.updater(t, o, func(s fsm.Snapshot) {
			if s.State == fsm.Ready {
				close(ready)
			}
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- u.Run(ctx) }()
		begun := time.Now()
		check(t, u.Start(ctx, journal.Job{Version: "1.2.3", URL: o.URL(), Name: packageName, Size: p.size, MD5: object.MD5()}))
		<-ready
		took = time.Since(begun)
		stop()
		<-ended
	})
	return took
}

// updater makes the machine on the slow medium.
func (p slowPair) updater(t *testing.T, o *origintest.Origin, seen func(fsm.Snapshot)) *fsm.Updater {
	t.Helper()
	dir, err := storage.OpenStateDir(t.TempDir())
	check(t, err)
	t.Cleanup(func() { dir.Close() })
	j, err := journal.Open(dir.Dir(), journal.Options{})
	check(t, err)
	t.Cleanup(func() { j.Close() })
	fetcher, err := netio.New(netio.Config{Dial: o.Dial})
	check(t, err)
	t.Cleanup(fetcher.Close)
	labels := metrics.Labels{}
	for _, s := range fsm.States() {
		labels.States = append(labels.States, s.Label())
	}
	u, err := fsm.New(fsm.Deps{Journal: slowJournal{j, p.sync}, StateDir: slowStore{dir, p.sync}, Source: fsm.SourceOf(fetcher),
		Metrics: metrics.New(labels, metrics.BuildInfo{Version: "test"}), Log: slog.New(slog.DiscardHandler)},
		fsm.Config{Checkpoint: p.checkpoint, Retries: 3, OnChange: seen})
	check(t, err)
	return u
}
