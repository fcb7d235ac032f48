package fsm_test

import (
	"context"
	"log/slog"
	"strings"
	"testing/synctest"
	"time"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// process is one process of otad on a rig.
type process struct {
	*fsm.Updater
	*invariants
	*killer
	rig     *rig
	journal *journal.Journal
	metrics *metrics.Metrics
	found   found
	changed chan struct{} // holds a token after each change of what is shown
	close   []func()
	ctx     context.Context // ends with the process
	cancel  context.CancelFunc
	done    chan error // what Run returned; nil: Run was not called, or the test has received it
	ended   bool
}

// found is what a process found when it started.
type found struct {
	record  journal.Record
	durable int64  // bytes, by the newest checkpoint
	left    string // in the state directory, see rig.left
}

// open makes the process of otad, without running it.
func (r *rig) open() *process {
	r.t.Helper()
	p := &process{rig: r, metrics: newMetrics(), changed: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.killer = &killer{at: r.killAt, cancel: p.cancel, dead: make(chan struct{})}
	r.killAt = 0
	dir, err := storage.OpenStateDir(r.dir)
	must(r.t, err)
	p.journal, err = journal.Open(dir.Dir(), journal.Options{OnCommit: p.metrics.JournalCommit})
	must(r.t, err)
	fetcher, err := netio.New(r.net)
	must(r.t, err)
	p.close = []func(){fetcher.Close, func() { p.journal.Close() }, func() { dir.Close() }}
	p.found = found{record: p.journal.Record(), durable: newest(p.journal.Checkpoints())}
	p.found.left = r.left(p.found.record.Job.Name)
	p.invariants = &invariants{process: p, claimed: p.found.durable, files: map[string]*content{}}
	source := fsm.Source(checkedSource{fsm.SourceOf(fetcher), p})
	if r.source != nil {
		source = r.source(source)
	}
	log := r.log
	if log == nil {
		log = slog.NewTextHandler(secretCheck{r.t}, &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	cfg := r.cfg
	cfg.OnChange = func(s fsm.Snapshot) {
		p.shownOnlyWhatIsWritten(s)
		if r.cfg.OnChange != nil {
			r.cfg.OnChange(s)
		}
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
	p.Updater, err = fsm.New(fsm.Deps{Journal: checkedJournal{p.journal, p}, StateDir: checkedStore{dir, p},
		Source: source, Metrics: p.metrics, Log: slog.New(log)}, cfg)
	must(r.t, err)
	p.ready.Store(true)
	r.process = p
	return p
}

// boot starts otad on the board.
func (r *rig) boot() *process {
	r.t.Helper()
	if r.process == nil {
		r.open()
	}
	p := r.process
	p.done = make(chan error, 1)
	go func() { p.done <- p.Run(p.ctx) }()
	return p
}

// begin starts otad and gives it the job.
func (r *rig) begin() *rig {
	r.t.Helper()
	r.boot()
	r.start(r.job())
	return r
}

// stop ends the process as a signal does, and returns what Run returned.
func (p *process) stop() (err error) {
	p.ended = true
	if p.rig.process == p {
		p.rig.process = nil
	}
	p.cancel()
	if p.done != nil {
		err = <-p.done
	}
	if p.opened != p.closed {
		p.rig.t.Errorf("%d files were opened and %d closed", p.opened, p.closed)
	}
	for _, f := range p.close {
		f()
	}
	for _, c := range p.files {
		*c = content{bytes: c.bytes[:0]}
		contents.put(c)
	}
	return err
}

// end is a stop, unless the process has ended, that must go well.
func (p *process) end() {
	p.rig.t.Helper()
	if p.ended {
		return
	}
	if err := p.stop(); err != nil {
		p.rig.t.Errorf("run: %v", err)
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.killNow()
	p.stop()
	p.rig.faults.set(nil)
}

// start gives the machine a job that it has to take.
func (p *process) start(job journal.Job) {
	p.rig.t.Helper()
	if err := p.Start(p.rig.t.Context(), job); err != nil {
		p.rig.t.Fatalf("start %s: %v", job.Name, err)
	}
}

// wait waits until what is shown is as wanted, and then, in a bubble, for the
// machine to come to rest. It returns false when the process was killed before
// that; the process has ended then.
func (p *process) wait(patience time.Duration, ok func(fsm.Snapshot) bool) (fsm.Snapshot, bool) {
	p.rig.t.Helper()
	late := time.After(patience)
	for !ok(p.Snapshot()) && !p.isKilled() {
		select {
		case <-p.changed:
		case <-p.dead:
		case <-late:
			p.rig.t.Fatalf("after %v still %+v", patience, p.Snapshot())
		}
	}
	if !p.rig.sockets {
		synctest.Wait() // what follows a transition is done too
	}
	if p.isKilled() {
		p.end()
		return fsm.Snapshot{}, false
	}
	return p.Snapshot(), true
}

// settle waits for the machine to come to Ready or Failed. It returns false
// when the process was killed before that.
func (p *process) settle() (fsm.Snapshot, bool) {
	p.rig.t.Helper()
	return p.wait(10*time.Hour, func(s fsm.Snapshot) bool { return s.State == fsm.Ready || s.State == fsm.Failed })
}

func (p *process) until(ok func(fsm.Snapshot) bool) fsm.Snapshot {
	p.rig.t.Helper()
	s, alive := p.wait(30*time.Minute, ok)
	if !alive {
		p.rig.t.Fatal("the process was killed")
	}
	return s
}

func (p *process) await(state fsm.State) fsm.Snapshot {
	p.rig.t.Helper()
	return p.until(func(s fsm.Snapshot) bool { return s.State == state || s.State == fsm.Failed })
}

// fetched waits for the package to be Ready, as the origin has it.
func (p *process) fetched() {
	t := p.rig.t
	t.Helper()
	if s := p.await(fsm.Ready); s.State != fsm.Ready {
		t.Fatalf("%s: %s", s.State, s.Error)
	}
	if got := md5Of(t, p.rig.path("u.bin")); got != md5Sum(p.rig.object) {
		t.Errorf("the package has the MD5 %s, want %s", got, md5Sum(p.rig.object))
	}
}

// failed waits for the job to fail and checks the beginning of its error.
func (p *process) failed(text string) fsm.Snapshot {
	p.rig.t.Helper()
	s := p.until(func(s fsm.Snapshot) bool { return s.State == fsm.Failed || s.State == fsm.Ready })
	if s.State != fsm.Failed || !strings.HasPrefix(s.Error, text) {
		p.rig.t.Fatalf("%s with error %q, want Failed with %q", s.State, s.Error, text)
	}
	return s
}

// finishes waits for the job to end in Ready, and audits that.
func (p *process) finishes() fsm.Snapshot {
	p.rig.t.Helper()
	s, _ := p.settle()
	if s.State != fsm.Ready {
		p.rig.t.Errorf("%s %q", s.State, s.Error)
	}
	p.audit(s)
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

func newMetrics() *metrics.Metrics {
	l := metrics.Labels{Failures: fsm.Failures()}
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
