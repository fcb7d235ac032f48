package fsm_test

import (
	"context"
	"log/slog"
	"strings"
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

// interval is the checkpoint interval of a rig.
const interval = 64 << 10

// rig is a board that is watched by a witness: the real journal, state
// directory and fetcher, with faults where a test wants them. One process at a
// time runs on it; the state directory outlives them all.
type rig struct {
	t       *testing.T
	dir     string
	object  origintest.Object
	origin  *origintest.Origin
	cfg     fsm.Config   // of the next boot
	net     netio.Config // of the next boot
	sockets bool         // the origin is reached over TCP: there is no bubble to wait for
	faults  faults
	*life   // what runs; nil: nothing
}

// life is one process of otad.
type life struct {
	*fsm.Updater
	*witness
	metrics *metrics.Metrics
	source  *watchedSource
	changed chan struct{} // something was observed
	close   []func()
	cancel  context.CancelFunc
	gone    chan error // what Run returned; nil: it was not called
}

// newRig makes a board, and an origin in memory that serves a little more than
// five intervals. It is for a synctest bubble.
func newRig(t *testing.T, script ...*origintest.Rule) *rig {
	t.Helper()
	return newRigOn(t, origintest.Config{InMemory: true, Script: script})
}

func newRigOn(t *testing.T, c origintest.Config) *rig {
	t.Helper()
	if c.Object.Len() == 0 {
		c.Object = origintest.Object{Size: 5*interval + 1234, Seed: 1}
	}
	r := &rig{t: t, dir: t.TempDir(), object: c.Object, origin: origintest.NewConfig(t, c), sockets: !c.InMemory}
	r.net = netio.Config{Dial: r.origin.Dial}
	r.cfg = fsm.Config{Checkpoint: interval, Retries: 3, NetworkWait: 10 * time.Minute,
		Jitter: func() float64 { return 0.5 }} // waits of exactly 1, 2 and 4 s
	t.Cleanup(func() {
		if r.life != nil {
			r.stop()
		}
	})
	return r
}

// secret is in the query of every job's URL and must not be seen anywhere.
const secret = "hush"

func (r *rig) job() journal.Job {
	return journal.Job{Version: "1.2.3", Name: "u.bin", Size: r.object.Len(), MD5: r.object.MD5(),
		URL: r.origin.URL() + "?signature=" + secret}
}

// other is a job that is not the one of job.
func (r *rig) other() journal.Job {
	job := r.job()
	job.Version, job.Name = "2.0.0", "other.bin"
	return job
}

// open makes the process of otad, without running it.
func (r *rig) open() {
	r.t.Helper()
	l := &life{metrics: newMetrics(), changed: make(chan struct{}, 1), cancel: func() {}}
	must := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	dir, err := storage.OpenStateDir(r.dir)
	must(err)
	j, err := journal.Open(r.dir, journal.Options{})
	must(err)
	fetcher, err := netio.New(r.net)
	must(err)
	l.close = []func(){fetcher.Close, func() { j.Close() }, func() { dir.Close() }}
	l.witness = newWitness(r, j)
	l.source = &watchedSource{Source: fsm.SourceOf(fetcher), witness: l.witness}
	cfg := r.cfg
	cfg.OnChange = func(s fsm.Snapshot) {
		l.seen(s)
		if r.cfg.OnChange != nil {
			r.cfg.OnChange(s)
		}
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
	log := slog.New(slog.NewTextHandler(discreet{r.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l.Updater, err = fsm.New(fsm.Deps{Journal: watchedJournal{j, l.witness}, StateDir: watchedStore{dir, l.witness},
		Source: l.source, Metrics: l.metrics, Log: log}, cfg)
	must(err)
	l.witness.shown = func() (fsm.Snapshot, *metrics.Metrics) { return l.Snapshot(), l.metrics }
	r.life = l
}

// boot starts otad on the board.
func (r *rig) boot() {
	r.t.Helper()
	if r.life == nil {
		r.open()
	}
	l := r.life
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.gone = cancel, make(chan error, 1)
	go func() { l.gone <- l.Run(ctx) }()
}

// stop ends the process as a signal does, and returns what Run did.
func (r *rig) stop() (err error) {
	l := r.life
	r.life = nil
	l.cancel()
	if l.gone != nil {
		err = <-l.gone
	}
	if l.handles != l.closed {
		r.t.Errorf("%d files were opened and %d closed", l.handles, l.closed)
	}
	for _, f := range l.close {
		f()
	}
	return err
}

// kill ends the process as a power cut does: nothing that it still does reaches
// the state directory.
func (r *rig) kill() {
	r.t.Helper()
	r.faults.set(func(string, int64) error { return errGone })
	r.stop()
	r.faults.set(nil)
}

// start gives the machine a job that it has to take.
func (r *rig) start(job journal.Job) {
	r.t.Helper()
	if err := r.Start(r.t.Context(), job); err != nil {
		r.t.Fatalf("start %s: %v", job.Name, err)
	}
}

// until waits until what is shown is as wanted, and then, in a bubble, for the
// machine to come to rest.
func (r *rig) until(ok func(fsm.Snapshot) bool) fsm.Snapshot {
	r.t.Helper()
	const patience = 30 * time.Minute // of the bubble
	late := time.After(patience)
	for !ok(r.Snapshot()) {
		select {
		case <-r.changed:
		case <-late:
			r.t.Fatalf("after %v still %+v", patience, r.Snapshot())
		}
	}
	if !r.sockets {
		synctest.Wait()
	}
	return r.Snapshot()
}

func (r *rig) await(state fsm.State) fsm.Snapshot {
	r.t.Helper()
	return r.until(func(s fsm.Snapshot) bool { return s.State == state || s.State == fsm.Failed })
}

// fetched waits for the package to be Ready, as the origin has it.
func (r *rig) fetched() {
	r.t.Helper()
	if s := r.await(fsm.Ready); s.State != fsm.Ready {
		r.t.Fatalf("%s: %s", s.State, s.Error)
	}
	if got := md5Of(r.t, r.path("u.bin")); got != r.object.MD5() {
		r.t.Errorf("the package has the MD5 %s, want %s", got, r.object.MD5())
	}
}

// failed waits for the job to fail and checks the beginning of its error.
func (r *rig) failed(text string) fsm.Snapshot {
	r.t.Helper()
	s := r.until(func(s fsm.Snapshot) bool { return s.State == fsm.Failed || s.State == fsm.Ready })
	if s.State != fsm.Failed || !strings.HasPrefix(s.Error, text) {
		r.t.Fatalf("%s with error %q, want Failed with %q", s.State, s.Error, text)
	}
	return s
}

// held fetches up to the byte at, which the origin's script has to stall
// before, stops otad there, and lets the origin go on.
func (r *rig) held(at int64) {
	r.t.Helper()
	r.boot()
	r.start(r.job())
	synctest.Wait()
	if err := r.stop(); err != nil {
		r.t.Fatal(err)
	}
	r.origin.Release()
	if _, cps, err := journal.Peek(r.dir); err != nil || len(cps) == 0 || cps[0].Offset != at {
		r.t.Fatalf("stopped with checkpoints %v, %v; want the newest at %d", cps, err, at)
	}
}
