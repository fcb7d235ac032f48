package fsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"otad/journal"
	"otad/metrics"
)

// Updater runs the machine. Start, Reset, Snapshot and Health may be called from
// any goroutine, StartBeforeRun and Run from one.
type Updater struct {
	// Set by New and never changed. What they point to has its own owner.
	cfg      Config
	dir      StateDir
	source   Source
	log      *slog.Logger
	journal  *journalWriter
	report   *reporter
	restarts *restartCounter
	commands chan command
	newURL   chan struct{} // ends the wait of a transfer that has an old URL
	over     chan struct{} // closed when Run has ended
	replaced chan error    // ends Run: the state directory is not the one at its path; holds one

	// Owned by Run's goroutine.
	machine *machine
	work    *work
	cause   metrics.Cause // why the next transfer resumes
	started time.Time     // of the current job in this process; zero: not begun by it
	nextTry *time.Timer   // of a failed job; nil: none is due
	trouble Distance      // of one failure that comes again and again
}

// command is a call of Start or Reset on its way to Run's goroutine.
type command struct {
	do    func(context.Context) error
	reply chan error // holds one
}

// journalRetry is how long a transition that the journal refused waits for its
// next try. A full or read-only disk is repaired by people, so haste is of no
// use.
const journalRetry = 5 * time.Second

// New returns an Updater in the state that the journal holds. Nothing runs yet,
// and nothing is written. Where the journal holds Ready, and the file is not the
// one that was verified, the state is Verifying: the bytes decide.
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
	begun := time.Now()
	if c.Boot == "" || c.Uptime == nil {
		c.Boot = fmt.Sprintf("process %x", rand.Uint32())
		c.Uptime = func() time.Duration { return time.Since(begun) }
	}
	w := &journalWriter{journal: d.Journal}
	u := &Updater{cfg: c, dir: d.StateDir, source: d.Source, log: d.Log, journal: w,
		report:   &reporter{metrics: d.Metrics, onChange: c.OnChange, readback: c.Readback, start: begun, boot: c.Boot, uptime: c.Uptime},
		restarts: &restartCounter{journal: w, log: d.Log},
		commands: make(chan command), newURL: make(chan struct{}, 1), over: make(chan struct{}), replaced: make(chan error, 1)}
	w.stats = u.report.jobStats
	rec := w.record()
	if isUnproved(d.StateDir, rec) {
		rec.State = string(Verifying)
	}
	state := stateOf(rec)
	if rec.State != "" && !State(rec.State).known() {
		u.log.Warn("the journal is of a newer otad: its state is not known here", "recorded", rec.State, "state", state)
	}
	u.machine = newMachine(state, u.commitTransition, u.observe)
	u.report.load(rec, w.checkpoints(), time.Time{})
	d.Metrics.NextTry(u.report.secondsToNextTry)
	d.Metrics.Job(u.jobMetrics)
	return u, nil
}

// Start makes job the current one. The same job again only refreshes its URL; a
// failed one goes on from its checkpoint. Start blocks until Run has taken the
// job and the journal holds it. Errors: ErrBusy, ErrInstalling, *journal.FieldError for a job
// that breaks a rule, the journal's when it cannot be written, or ctx's.
func (u *Updater) Start(ctx context.Context, job journal.Job) error {
	return u.ask(ctx, func(ctx context.Context) error { return u.start(ctx, job) })
}

// Reset stops the transfer and deletes the job and its partial file. It blocks
// like Start. Errors: the journal's, or ctx's.
func (u *Updater) Reset(ctx context.Context) error {
	return u.ask(ctx, u.reset)
}

// Snapshot returns the present state from memory, also during a slow sync.
func (u *Updater) Snapshot() Snapshot { return u.report.snapshot() }

// StartBeforeRun makes job the one that Run begins with. Another job that is
// unfinished is given up with replace, and reported by an *UnfinishedError
// without. The other errors are those of Start.
func (u *Updater) StartBeforeRun(ctx context.Context, job journal.Job, replace bool) error {
	rec := u.journal.record()
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
	offset = u.journal.durable()
	state := stateOf(rec)
	return offset, state.Active() || state == Failed && offset > 0
}

// Run works until ctx ends, and checkpoints as much of what was received until
// then as the disk takes in a second. It returns what the next start of the
// process may mend and waiting cannot: journal.ErrUnusable, or an error of a state
// directory that is not the one at its path any more. With FailOnJournalError it
// returns the first error of the journal.
func (u *Updater) Run(ctx context.Context) error {
	defer close(u.over)
	if err := u.recoverJob(ctx); err != nil && u.cfg.FailOnJournalError {
		return err
	}
	u.restarts.stable = time.NewTimer(stableAfter)
	defer u.restarts.stable.Stop()
	if u.machine.current() == Failed {
		u.report.nextTry(u.armTry(u.journal.record()))
	}
	defer u.stopTry()
	var pulse <-chan time.Time
	if u.cfg.Pulse != nil {
		ticker := time.NewTicker(u.cfg.PulseEvery)
		defer ticker.Stop()
		pulse = ticker.C
	}
	for {
		if pulse != nil {
			u.cfg.Pulse()
		}
		if err := u.journal.err(); errors.Is(err, journal.ErrUnusable) {
			u.stopWork()
			return err
		}
		u.begin(ctx)
		select {
		case <-ctx.Done():
			u.stopWork()
			u.restarts.clear()
			return nil
		case c := <-u.commands:
			c.reply <- c.do(ctx)
		case <-u.work.ended():
			if err := u.finishWork(ctx); err != nil {
				return err
			}
		case <-u.tryDue():
			u.tryAgain(ctx)
		case <-u.restarts.stable.C:
			u.restarts.clear()
		case <-pulse:
			_ = u.Health() // which may end Run
		case err := <-u.replaced:
			u.stopWork()
			return err
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
	if err := u.source.CheckURL(job.URL); err != nil {
		return &journal.FieldError{Field: journal.FieldURL, Problem: "is refused: " + err.Error()}
	}
	rec := u.journal.record()
	same := rec.Job.Same(job)
	if !same && u.isInstalling(rec) {
		return ErrInstalling // also while its package is digested again
	}
	switch state := u.machine.current(); {
	case state.Active() && !same && rec.Tries == 0 && State(rec.State) != Ready:
		return ErrBusy
	case state.Active() && !same:
		// It was reported failed, or Ready: whoever asked for it has been answered.
		if err := u.reset(ctx); err != nil {
			return err
		}
	case state.Active():
		return u.refreshURL(job.URL)
	case state == Ready:
		if same && isProved(u.dir, rec) {
			return nil
		}
		if u.isInstalling(rec) {
			return ErrInstalling
		}
		same = false // the package was taken away: fetch it anew
	}
	u.cause = metrics.CauseNewURL
	u.started = time.Now()
	if err := u.machine.fire(ctx, evStart, startChange(job, same, u.report.progressNow())); err != nil {
		return err
	}
	u.journal.tidy(u.dir, u.log)
	return nil
}

// refreshURL does nothing for the URL that the journal has already: a client
// that asks again and again must neither wear out the flash nor cut every wait
// short.
func (u *Updater) refreshURL(url string) error {
	if u.journal.record().Job.URL == url {
		return nil
	}
	_, err := u.journal.update(func(r *journal.Record) {
		r.Validator = keptValidator(*r, url)
		r.Job.URL = url
	})
	if err != nil {
		return err
	}
	defer u.journal.tidy(u.dir, u.log)
	if u.work.failed() {
		u.stopWork() // the old URL failed; the new one is tried before anything is reported
		return nil
	}
	select {
	case u.newURL <- struct{}{}:
	default:
	}
	return nil
}

func (u *Updater) reset(ctx context.Context) error {
	busy := u.machine.current().Active() && State(u.journal.record().State) != Ready
	u.stopWork()
	if err := u.machine.fire(ctx, evReset, resetChange); err != nil {
		return err
	}
	if busy {
		u.report.finished(metrics.Cancelled, time.Time{}, nil)
	}
	u.journal.tidy(u.dir, u.log)
	return nil
}
