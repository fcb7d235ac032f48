// Package fsm is the heart of otad: an explicit state machine that brings one
// update package onto the board and makes it Ready.
//
// # Who owns what
//
// One goroutine, [Updater.Run], owns the machine and fires its events. The work
// of a state (fetching, verifying) runs beside it and ends in the next event.
// Everyone else asks by [Updater.Start] and [Updater.Reset] and watches
// [Updater.Snapshot].
//
// # What is promised
//
// The journal leads and the machine follows: a transition is durable before it
// is visible. A checkpoint never claims a byte that a power cut can take: write,
// sync, commit, tell, in this order (pipeline.go). Ready means that the digest
// of the bytes on disk is the job's.
package fsm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// Updater runs the machine. Start, Reset, Snapshot and Healthy may be called
// from any goroutine, Adopt and Run from one.
type Updater struct {
	Deps
	cfg      Config
	machine  *machine
	progress *progress
	commands chan command
	newURL   chan struct{} // wakes a transfer that waits with an old URL
	sick     atomic.Pointer[error]

	// Owned by Run's goroutine.
	work    *work
	cause   metrics.Cause // why the next transfer resumes
	started time.Time     // of the current job in this process
	alive   *time.Timer   // fires when this process's take-up is survived
}

type command struct {
	do    func(context.Context) error
	reply chan error
}

// journalRetry is how long a transition that the journal refused waits for its
// next try: a full or read-only disk is mended by people, not by haste.
const journalRetry = 5 * time.Second

// survival is how long a process lives until its take-up of a job counts as
// survived, and not as another turn of a crash loop.
const survival = time.Minute

// maxTakeUps is how often in a row a job is taken up without a new checkpoint.
const maxTakeUps = 10

// New takes up the machine where the journal left it. Nothing runs yet.
func New(d Deps, c Config) (*Updater, error) {
	if c.OnChange == nil {
		c.OnChange = func(Snapshot) {}
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.AllocBuffer == nil {
		c.AllocBuffer = func(size int) ([]byte, func()) { return make([]byte, size), func() {} }
	}
	u := &Updater{Deps: d, cfg: c, progress: newProgress(),
		commands: make(chan command), newURL: make(chan struct{}, 1)}
	rec := d.Journal.Record()
	state := stateOf(rec)
	if !slices.Contains(States(), state) {
		return nil, fmt.Errorf("the journal holds a state that this otad does not know: %q", rec.State)
	}
	u.machine = newMachine(state, u.commitTransition, u.observe)
	u.show(rec)
	return u, nil
}

// Start makes job the current one. The same job again only refreshes its URL; a
// failed one goes on from its checkpoint. Errors: ErrBusy, *journal.FieldError
// for a job that cannot be, or the journal's when it cannot be written.
func (u *Updater) Start(ctx context.Context, job journal.Job) error {
	return u.ask(ctx, func(ctx context.Context) error { return u.start(ctx, job) })
}

// Reset stops the transfer and forgets the job and its partial file.
func (u *Updater) Reset(ctx context.Context) error {
	return u.ask(ctx, u.reset)
}

// Snapshot is answered from memory, also in the middle of a slow sync.
func (u *Updater) Snapshot() Snapshot { return u.progress.snapshot() }

// Health is nil while the journal can be written, else the error of its last
// write, or what would keep the next one from succeeding.
func (u *Updater) Health() error {
	if err := u.sickness(); err != nil {
		return err
	}
	return u.StateDir.Writable()
}

// sickness is the error of the journal's last write.
func (u *Updater) sickness() error {
	if err := u.sick.Load(); err != nil {
		return *err
	}
	return nil
}

// StartBeforeRun makes job the one that Run takes up; it is to be called before Run. An
// unfinished other job is given up with replace, and else refused by an
// *UnfinishedError.
func (u *Updater) StartBeforeRun(ctx context.Context, job journal.Job, replace bool) error {
	rec := u.Journal.Record()
	if offset, unfinished := u.unfinished(rec); unfinished && !rec.Job.Same(job) {
		if !replace {
			return &UnfinishedError{Job: rec.Job, Offset: offset}
		}
		if err := u.reset(ctx); err != nil {
			return err
		}
	}
	return u.start(ctx, job)
}

func (u *Updater) unfinished(rec journal.Record) (offset int64, yes bool) {
	offset = u.durable()
	switch stateOf(rec) {
	case Downloading, Verifying:
		return offset, true
	case Failed:
		return offset, offset > 0
	default:
		return offset, false
	}
}

// Run works until ctx ends; what was received until then is checkpointed, as much
// of it as the disk takes in a second. Its error is the journal's: of an impatient
// Updater the first one, of any other journal.ErrUnusable, which no patience mends
// but the next start may.
func (u *Updater) Run(ctx context.Context) error {
	if err := u.takeUp(ctx); err != nil && u.cfg.FailOnJournalError {
		return err
	}
	u.alive = time.NewTimer(survival)
	defer u.alive.Stop()
	for {
		if err := u.sickness(); errors.Is(err, journal.ErrUnusable) {
			u.halt()
			return err
		}
		u.begin(ctx)
		select {
		case <-ctx.Done():
			u.halt()
			u.survived()
			return nil
		case c := <-u.commands:
			c.reply <- c.do(ctx)
		case <-u.work.ended():
			if err := u.conclude(ctx); err != nil {
				return err
			}
		case <-u.alive.C:
			u.survived()
		}
	}
}

// ask runs do in Run's goroutine.
func (u *Updater) ask(ctx context.Context, do func(context.Context) error) error {
	c := command{do: do, reply: make(chan error, 1)}
	select {
	case u.commands <- c:
		return <-c.reply
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *Updater) start(ctx context.Context, job journal.Job) error {
	if err := job.Validate(); err != nil {
		return err
	}
	if err := netio.CheckURL(job.URL, u.cfg.AllowHTTP); err != nil {
		return &journal.FieldError{Field: journal.FieldURL, Problem: "is refused: " + err.Error()}
	}
	rec := u.Journal.Record()
	same := rec.Job.Same(job)
	switch u.machine.current() {
	case Downloading, Verifying:
		if !same {
			return ErrBusy
		}
		return u.refreshURL(job.URL)
	case Ready:
		if same && u.isPublished(sized(rec)) {
			return nil
		}
		same = false // its user has taken the package away: fetch it anew
	}
	u.cause = metrics.CauseNewURL
	u.started = time.Now()
	if err := u.machine.fire(ctx, evStart, startEdit(job, same)); err != nil {
		return err
	}
	u.collect()
	return nil
}

// refreshURL does nothing for the URL that is known already: a client that asks
// again and again must neither wear out the flash nor cut every wait short.
func (u *Updater) refreshURL(url string) error {
	if u.Journal.Record().Job.URL == url {
		return nil
	}
	_, err := u.update(func(r *journal.Record) {
		r.Validator = keptValidator(*r, url)
		r.Job.URL = url
	})
	if err != nil {
		return err
	}
	if u.work.failed() {
		u.halt() // by the old URL: the new one is to be tried before anything is said
		return nil
	}
	select {
	case u.newURL <- struct{}{}:
	default:
	}
	return nil
}

func (u *Updater) reset(ctx context.Context) error {
	busy := u.machine.current() == Downloading || u.machine.current() == Verifying
	u.halt()
	err := u.machine.fire(ctx, evReset, func(r *journal.Record) {
		if r.Job.Name != "" {
			r.PendingDeletes = append(r.PendingDeletes, r.Job.Name)
		}
		*r = journal.Record{Generation: r.Generation + 1, PendingDeletes: r.PendingDeletes, Outbox: r.Outbox, OutboxSeq: r.OutboxSeq}
	})
	if err != nil {
		return err
	}
	if busy {
		u.Metrics.Finished(metrics.Cancelled)
	}
	u.collect()
	return nil
}

// collect deletes the partial files that the journal has given up. A crash in
// here is made good at the next start.
func (u *Updater) collect() {
	garbage := u.Journal.Record().PendingDeletes
	var left []string
	for i, name := range garbage {
		if slices.Contains(garbage[:i], name) {
			continue
		}
		if err := u.StateDir.RemovePartial(name); err != nil {
			u.Log.Warn("a partial file stays behind", "name", name, "err", err)
			left = append(left, name)
		}
	}
	if len(left) == len(garbage) {
		return
	}
	if _, err := u.update(func(r *journal.Record) { r.PendingDeletes = left }); err != nil {
		u.Log.Warn("the journal cannot forget a deleted file", "err", err)
	}
}

func (u *Updater) isPublished(job journal.Job) bool {
	f, err := u.StateDir.Published(job.Name)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	return err == nil && st.Size() == job.Size
}

// durable is how many bytes the newest of the checkpoints claims.
func durable(newestFirst []journal.Checkpoint) int64 {
	if len(newestFirst) == 0 {
		return 0
	}
	return newestFirst[0].Offset
}

func (u *Updater) durable() int64 { return durable(u.Journal.Checkpoints()) }

// update writes the record and remembers whether that went well.
func (u *Updater) update(f func(*journal.Record)) (journal.Record, error) {
	rec, err := u.Journal.Update(f)
	return rec, u.wrote(err)
}

// wrote remembers how a write of the journal went, and returns err.
func (u *Updater) wrote(err error) error {
	if err != nil {
		err = fmt.Errorf("write the journal: %w", err)
		u.sick.Store(&err)
	} else if u.sick.Load() != nil {
		u.sick.Store(nil)
	}
	return err
}

// commitTransition is the write-ahead half of every transition.
func (u *Updater) commitTransition(from, to State, e edit) error {
	told := 0 // how many transitions are then to be told
	rec, err := u.update(func(r *journal.Record) {
		kept, generation := u.Journal.Checkpoints(), r.Generation
		e(r)
		r.State = string(to)
		if r.Generation != generation {
			kept = nil // they go in this very transaction
		}
		if u.cfg.KeepOutbox && from != to {
			s := (&progress{shown: recorded(*r, kept), readback: u.cfg.Readback}).snapshot()
			r.OutboxSeq++
			r.Outbox = append(r.Outbox, journal.OutboxEntry{Seq: r.OutboxSeq, State: r.State,
				Progress: s.Progress, Message: s.Message, Error: s.Error})
		}
		told = len(r.Outbox)
	})
	if lost := told - len(rec.Outbox); err == nil && lost > 0 {
		u.Log.Warn("the outbox is full: the oldest transitions will never be told", "dropped", lost, "kept", len(rec.Outbox))
		for range lost {
			u.Metrics.Callback(metrics.CallbackDropped)
		}
	}
	return err
}

// observe is the visible half of a transition.
func (u *Updater) observe(from, to State) {
	rec := u.Journal.Record()
	s := u.show(rec)
	u.Metrics.Transition(from.Label(), to.Label())
	log := u.Log.With("from", from, "to", to, "name", s.Name, "version", s.Version)
	if to == Failed {
		log.Error("the job failed", "err", rec.Error, "durable", s.Durable)
	} else {
		log.Info("transition", "durable", s.Durable, "size", s.Size)
	}
	u.cfg.OnChange(s)
}

// show takes the record over into what is shown.
func (u *Updater) show(rec journal.Record) Snapshot {
	u.progress.quiet(u.cfg.Readback)
	s := u.progress.change(func(s *Snapshot) {
		next := recorded(rec, u.Journal.Checkpoints())
		if next.State != Idle && next.Name == s.Name && next.Version == s.Version {
			next.Retries, next.ResumedFrom = s.Retries, s.ResumedFrom
		}
		*s = next
	})
	u.Metrics.SetState(s.State.Label())
	u.Metrics.SetSize(s.Size)
	u.Metrics.SetDurable(s.Durable)
	u.Metrics.NetworkWaiting(false)
	return s
}
