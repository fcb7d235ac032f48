package crashstates

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"otad/board/installer"
	"otad/board/storage"
	"otad/fsm"
	"otad/hashing/signature"
	"otad/journal"
	"otad/netio"
	"otad/netio/origintest"
)

// machine is the packages of otad, connected as its commands connect them, in
// front of origins in memory.
type machine struct {
	jobs    []*Job
	dir     *storage.StateDir
	journal *journal.Journal
	store   store
	source  *netio.Fetcher
	updater *fsm.Updater
	wake    atomic.Pointer[*installer.Installer] // nil: there is none
	ends    chan fsm.Snapshot                    // Ready and Failed, as they are reported
	// triesAgain: a failed job is started again without a post.
	triesAgain bool

	mu      sync.Mutex
	origins map[*Job]*origintest.Origin // started by the first connection
}

// start opens the packages on a state directory. Nothing is downloaded yet.
func (r *Rig) start(jobs []*Job, triesAgain bool) (_ *machine, err error) {
	m := &machine{jobs: jobs, triesAgain: triesAgain, ends: make(chan fsm.Snapshot, 8), origins: make(map[*Job]*origintest.Origin)}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.dir, err = storage.OpenStateDir(r.Dir); err != nil {
		return nil, err
	}
	if m.journal, err = journal.Open(m.dir.Dir(), journal.Options{}); err != nil {
		return nil, err
	}
	device := place(r.Dir, slotName)
	m.store = store{m.dir, storage.NewSlots(m.dir, device), device, m.journal.Record}
	if err := m.tidy(); err != nil {
		return nil, err
	}
	if m.source, err = netio.New(netio.Config{Dial: m.dial, ConnectTimeout: patience, HeaderTimeout: patience, ReadTimeout: patience}); err != nil {
		return nil, err
	}
	deps := fsm.Deps{Journal: m.journal, StateDir: m.store, Source: fsm.SourceOf(m.source),
		Metrics: r.Metrics, Log: slog.New(slog.DiscardHandler)}
	if r.SingleCheckpoint {
		deps.Journal = newestOnly{m.journal}
	}
	cfg := fsm.Config{Checkpoint: longestInterval(jobs), Readback: r.Readback, FailOnJournalError: true, AllocBuffer: buffer, OnChange: func(s fsm.Snapshot) {
		if s.State == fsm.Ready || s.State == fsm.Failed {
			select {
			case m.ends <- s:
			default: // nobody waits for the end of an installation
			}
		}
		if i := m.wake.Load(); i != nil {
			(*i).Wake(s)
		}
	}}
	if r.Trust != nil {
		cfg.Trust = func() signature.Trust { return *r.Trust }
	}
	if triesAgain {
		cfg.TryAgain = fsm.TryAgain{First: time.Millisecond, Longest: time.Millisecond}
	}
	m.updater, err = fsm.New(deps, cfg)
	return m, err
}

// tidy renames the partial file of an earlier otad, and deletes those that the
// record does not name.
func (m *machine) tidy() error {
	rec := m.journal.Record()
	if !rec.OwnSuffix && rec.Job.Name != "" {
		if err := m.dir.AdoptPartial(rec.Job.Name); err != nil {
			return err
		}
		if _, err := m.journal.Update(func(r *journal.Record) { r.OwnSuffix = true }); err != nil {
			return err
		}
	}
	_, _, err := m.dir.RemovePartialsExcept(append(rec.PendingDeletes, rec.Job.Name)...)
	return err
}

// buffers are the buffers of earlier machines. Without them, clearing new
// buffers takes a sixth of the CPU time of this test.
var buffers sync.Pool

func buffer(size int) ([]byte, func()) {
	b, ok := buffers.Get().(*[]byte)
	if !ok || len(*b) != size {
		b = new([]byte)
		*b = make([]byte, size)
	}
	return *b, func() { buffers.Put(b) }
}

func (m *machine) close() error {
	var errs []error
	if m.journal != nil {
		errs = append(errs, m.journal.Close())
	}
	if m.dir != nil {
		errs = append(errs, m.dir.Close())
	}
	if m.source != nil {
		m.source.Close()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, origin := range m.origins {
		origin.Close()
	}
	return errors.Join(errs...)
}

// dial connects to the origin that had this address when the run was recorded.
func (m *machine) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, job := range m.jobs {
		if job.addr != addr {
			continue
		}
		if m.origins[job] == nil {
			origin, err := origintest.Start(origintest.Config{Object: job.object, InMemory: true, Script: job.signature()})
			if err != nil {
				return nil, err
			}
			m.origins[job] = origin
		}
		return m.origins[job].Dial(ctx, network, addr)
	}
	return nil, fmt.Errorf("no job has its origin at %s", addr)
}

// found returns the content of the journal before anything runs.
func (m *machine) found() finding {
	rec, s := m.journal.Record(), m.updater.Snapshot()
	f := finding{Recovery: m.journal.Recovery(), State: s.State, Durable: s.Durable, Tries: rec.Tries}
	if s.State == fsm.Verifying && rec.State == string(fsm.Ready) {
		// The files of a state are written anew, and their numbers and times are
		// not those that the journal has. So the package is digested once more.
		f.State = fsm.Ready
	}
	for _, job := range m.jobs {
		if rec.Job.Name == job.Name && rec.Job.MD5 == job.MD5 {
			f.Job = job
		}
	}
	return f
}

// finish runs the machine until the job has ended as expected: first a job that
// is under way or tried again, then the job of the invariants, if it is another one, as its
// user would post it again.
func (m *machine) finish(ctx context.Context, w *Invariants, lying bool) (err error) {
	job := w.Job
	found, active := m.found(), m.updater.Snapshot().State.Active()
	ctx, stop := context.WithCancel(ctx)
	gone := make(chan error, 1)
	go func() { gone <- m.updater.Run(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-gone)
	}()
	done := found.Job == job && found.State == job.end()
	if active || m.triesAgain && found.State == fsm.Failed {
		if done, err = m.wait(ctx, found.Job, lying); err != nil {
			return err
		}
		done = done && found.Job == job
	}
	// On a lying disk a job may download its bytes twice, on an honest one never.
	for try := 0; !done; try++ {
		if try == 3 {
			return errors.New("the job fails again and again")
		}
		if err := m.updater.Start(ctx, job.journalJob()); err != nil {
			return fmt.Errorf("start the job: %w", err)
		}
		if done, err = m.wait(ctx, job, lying); err != nil {
			return err
		}
	}
	return m.install(ctx, w.HandOff)
}

// wait waits until the job has ended. On a lying disk it may have failed.
func (m *machine) wait(ctx context.Context, job *Job, lying bool) (done bool, err error) {
	select {
	case s := <-m.ends:
		honest := s.State == job.end() && (s.State == fsm.Ready || strings.HasPrefix(s.Error, string(fsm.MD5Mismatch)))
		documented := strings.Contains(s.Error, "STORAGE") || strings.HasPrefix(s.Error, string(fsm.MD5Mismatch))
		if !honest && !(lying && documented) {
			return false, fmt.Errorf("%s ends in %s: %s", job.Name, s.State, s.Error)
		}
		return honest, nil
	case <-ctx.Done():
		return false, fmt.Errorf("%s is still %s after %v", job.Name, m.updater.Snapshot().State, patience)
	}
}

// firstByte returns the start of the first request for the job; its size if
// there was none.
func (m *machine) firstByte(job *Job) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	origin := m.origins[job]
	if origin == nil {
		return job.object.Len(), nil
	}
	for _, request := range origin.Requests() {
		if !strings.HasSuffix(request.Target, ".minisig") {
			var first int64
			_, err := fmt.Sscanf(request.Range, "bytes=%d-", &first)
			return first, err
		}
	}
	return job.object.Len(), nil
}

// newestOnly is a journal that keeps one checkpoint.
type newestOnly struct{ *journal.Journal }

func (j newestOnly) Checkpoints() []journal.Checkpoint {
	all := j.Journal.Checkpoints()
	return all[:min(1, len(all))]
}
