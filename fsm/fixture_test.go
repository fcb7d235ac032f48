package fsm_test

import (
	"context"
	"log/slog"
	"slices"
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

// device is a board under test: what outlives the processes of otad on it, and how they are set up. Change its fields
// before boot.
type device struct {
	t      *testing.T
	dir    string // the state directory; after a kill the copy that kill -9 leaves
	net    netio.Config
	cfg    fsm.Config
	log    slog.Handler
	source func(fsm.Source) fsm.Source // what stands between the machine and the network; nil: nothing
	killAt int                         // the next process is killed at this change of the state directory; 0: never
}

// newDevice makes a board that reaches o and nothing else. Waits are exact: 1 s, 2 s, 4 s.
func newDevice(t *testing.T, o *origintest.Origin) *device {
	t.Helper()
	return &device{
		t: t, dir: t.TempDir(),
		net: netio.Config{Dial: o.Dial},
		cfg: fsm.Config{
			Checkpoint: 100_000, Retries: 3, NetworkWait: 10 * time.Minute,
			Jitter: func() float64 { return 0.5 },
		},
		log: slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}),
	}
}

// newOrigin starts an origin in memory, for a synctest bubble.
func newOrigin(t *testing.T, c origintest.Config, script ...*origintest.Rule) *origintest.Origin {
	t.Helper()
	c.InMemory = true
	c.Script = append(slices.Clone(c.Script), script...)
	return origintest.NewConfig(t, c)
}

// jobFor is the job of fetching what o serves.
func jobFor(o *origintest.Origin, object origintest.Object) journal.Job {
	return journal.Job{Version: "1.2.3", URL: o.URL(), Name: "u.bin", Size: object.Len(), MD5: object.MD5()}
}

// process is one life of otad on a device, from its start until it is stopped or killed.
type process struct {
	*fsm.Updater
	dev     *device
	dir     *storage.StateDir
	journal *journal.Journal
	metrics *metrics.Metrics
	reaper  *reaper
	found   inheritance
	settled chan struct{}   // holds a token when the machine came to Ready or Failed
	ctx     context.Context // ends with the process
	cancel  context.CancelFunc
	gone    chan error // what Run returned
	ended   sync.Once
}

// inheritance is what a process found when it started.
type inheritance struct {
	record  journal.Record
	durable int64  // bytes, by the newest checkpoint
	left    string // as device.left has it
}

// boot starts otad on d. It is stopped at the end of the test at the latest.
func (d *device) boot() *process {
	d.t.Helper()
	p := &process{dev: d, metrics: newMetrics(), settled: make(chan struct{}, 1), gone: make(chan error, 1)}
	p.ctx, p.cancel = context.WithCancel(d.t.Context())
	p.reaper = newReaper(d, p.cancel)
	p.open()
	go func() { p.gone <- p.Run(p.ctx) }()
	d.t.Cleanup(p.end)
	return p
}

func (p *process) open() {
	d := p.dev
	d.t.Helper()
	var err error
	if p.dir, err = storage.OpenStateDir(d.dir); err != nil {
		d.t.Fatal(err)
	}
	if p.journal, err = journal.Open(d.dir, journal.Options{OnCommit: p.metrics.JournalCommit}); err != nil {
		d.t.Fatal(err)
	}
	p.found = inheritance{record: p.journal.Record(), durable: p.durable()}
	p.found.left = d.left(p.found.record.Job.Name)
	fetcher, err := netio.New(d.net)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(fetcher.Close)
	source := fsm.SourceOf(fetcher)
	if d.source != nil {
		source = d.source(source)
	}
	cfg := d.cfg
	cfg.OnChange = func(s fsm.Snapshot) {
		if d.cfg.OnChange != nil {
			d.cfg.OnChange(s)
		}
		if isSettled(s) {
			select {
			case p.settled <- struct{}{}:
			default:
			}
		}
	}
	p.Updater, err = fsm.New(fsm.Deps{
		Journal: mortalJournal{p.journal, p.reaper}, StateDir: mortalStore{p.dir, p.reaper},
		Source: source, Metrics: p.metrics, Log: slog.New(d.log),
	}, cfg)
	if err != nil {
		d.t.Fatal(err)
	}
}

func newMetrics() *metrics.Metrics {
	var l metrics.Labels
	for _, s := range fsm.States() {
		l.States = append(l.States, s.Label())
	}
	for _, t := range fsm.Transitions() {
		l.Transitions = append(l.Transitions, [2]string{t[0].Label(), t[1].Label()})
	}
	for _, r := range netio.Reasons() {
		l.RetryReasons = append(l.RetryReasons, string(r))
	}
	return metrics.New(l, metrics.BuildInfo{Version: "test"})
}

// settle waits, in a synctest bubble, until the machine comes to Ready or Failed and rests. It returns false when the
// process was killed before that.
func (p *process) settle() (fsm.Snapshot, bool) {
	p.dev.t.Helper()
	const patience = 10 * time.Hour // of the bubble
	late := time.After(patience)
	for !isSettled(p.Snapshot()) {
		select {
		case <-p.settled:
		case <-p.reaper.dead:
			p.end()
			return fsm.Snapshot{}, false
		case <-late:
			p.dev.t.Fatalf("neither ready nor failed after %v: %+v", patience, p.Snapshot())
		}
	}
	synctest.Wait() // what follows the transition is done too
	if p.reaper.struck() {
		p.end()
		return fsm.Snapshot{}, false
	}
	return p.Snapshot(), true
}

func isSettled(s fsm.Snapshot) bool { return s.State == fsm.Ready || s.State == fsm.Failed }

// end stops the process as SIGTERM does, unless it is gone already, and waits for it. What a killed one has left is the
// device's state directory from then on.
func (p *process) end() {
	p.cancel()
	p.ended.Do(func() {
		if err := <-p.gone; err != nil {
			p.dev.t.Errorf("run: %v", err)
		}
		p.journal.Close()
		p.dir.Close()
		if p.reaper.struck() {
			p.dev.dir = p.reaper.heir
		}
	})
}
