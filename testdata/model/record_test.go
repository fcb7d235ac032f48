package model

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
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

// interval is that of the recorded run, and less than a block.
const interval = 64 << 10

// recording is what otad does, as the model's events.
type recording struct {
	disk, journal time.Duration // that each change takes

	mu     sync.Mutex
	events []string
	state  fsm.State // the last one that was reported
	said   int64
}

func (r *recording) add(what string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf("%s,%d", what, n))
}

// number is that of the model's state.
func number(s fsm.State) int64 {
	return map[fsm.State]int64{fsm.Downloading: 1, fsm.Verifying: 2, fsm.Ready: 3}[s]
}

// observe is fsm.Config.OnChange.
func (r *recording) observe(s fsm.Snapshot) {
	switch {
	case s.State != r.state:
		r.state = s.State
		r.add("STATE_REPORTED", number(s.State))
	case s.State == fsm.Downloading && s.Durable != r.said:
		r.said = s.Durable
		r.add("REPORT", (s.Durable+interval-1)/interval)
	}
}

type recordedJournal struct {
	*journal.Journal
	*recording
}

func (j recordedJournal) Commit(cp journal.Checkpoint) error {
	n := (cp.Offset + interval - 1) / interval
	j.add("COMMIT", n)
	time.Sleep(j.journal)
	err := j.Journal.Commit(cp)
	j.add("COMMITTED", n)
	return err
}

func (j recordedJournal) Update(f func(*journal.Record)) (journal.Record, error) {
	before := j.Record().State
	rec, err := j.Journal.Update(f)
	if rec.State != before {
		j.add("STATE_DURABLE", number(fsm.State(rec.State)))
	}
	return rec, err
}

type recordedDir struct {
	*storage.StateDir
	*recording
}

func (d recordedDir) OpenPartial(name string) (fsm.Partial, error) {
	p, err := d.StateDir.OpenPartial(name)
	return &recordedPartial{Partial: p, recording: d.recording}, err
}

func (d recordedDir) Published(name string) (fsm.Published, error) { return d.StateDir.Published(name) }

type recordedPartial struct {
	*storage.Partial
	*recording
	stored int64 // intervals
}

func (p *recordedPartial) WriteAt(b []byte, off int64) (int, error) {
	p.stored = (off + int64(len(b)) + interval - 1) / interval
	p.add("WRITE", p.stored)
	time.Sleep(p.disk)
	return p.Partial.WriteAt(b, off)
}

func (p *recordedPartial) Sync() error {
	time.Sleep(p.disk)
	err := p.Partial.Sync()
	p.add("SYNCED", p.stored)
	return err
}

func (p *recordedPartial) Publish(size int64) error {
	p.add("PUBLISH", 0)
	return p.Partial.Publish(size)
}

// record records a download of as many intervals as the model has.
func record(t *testing.T, disk, slowness time.Duration) []string {
	t.Helper()
	r := &recording{disk: disk, journal: slowness}
	synctest.Test(t, func(t *testing.T) {
		object := origintest.Object{Size: 2*interval + 777, Seed: 1}
		o := origintest.NewConfig(t, origintest.Config{Object: object, InMemory: true})
		dir, err := storage.OpenStateDir(t.TempDir())
		must(t, err)
		defer dir.Close()
		j, err := journal.Open(dir.Dir(), journal.Options{})
		must(t, err)
		defer j.Close()
		fetcher, err := netio.New(netio.Config{Dial: o.Dial})
		must(t, err)
		defer fetcher.Close()
		ready := make(chan struct{})
		u, err := fsm.New(fsm.Deps{Journal: recordedJournal{j, r}, StateDir: recordedDir{dir, r}, Source: fsm.SourceOf(fetcher),
			Metrics: metrics.New(labels(), metrics.BuildInfo{Version: "test"}), Log: slog.New(slog.DiscardHandler)},
			fsm.Config{Checkpoint: interval, OnChange: func(s fsm.Snapshot) {
				r.observe(s)
				if s.State == fsm.Ready {
					close(ready)
				}
			}})
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- u.Run(ctx) }()
		must(t, u.Start(ctx, journal.Job{Version: "1.2.3", URL: o.URL(), Name: "u.bin", Size: object.Size, MD5: object.MD5()}))
		<-ready
		stop()
		must(t, <-ended)
	})
	return r.events
}

func labels() (l metrics.Labels) {
	for _, s := range fsm.States() {
		l.States = append(l.States, s.Label())
	}
	for _, t := range fsm.Transitions() {
		l.Transitions = append(l.Transitions, [2]string{t[0].Label(), t[1].Label()})
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
