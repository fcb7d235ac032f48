package fsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"otad/hashing/signature"
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
	judge    judge
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
	again   recordChange  // starts the job that was posted while the same one is proved again; nil: none was
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
// and nothing is written. Where the journal holds Ready, and the package is there,
// the state is Verifying: the bytes decide, and the signature.
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
	if c.Trust == nil {
		c.Trust = func() signature.Trust { return signature.Trust{} }
	}
	begun := time.Now()
	if c.Boot == "" || c.Uptime == nil {
		c.Boot = fmt.Sprintf("process %x", rand.Uint32())
		c.Uptime = func() time.Duration { return time.Since(begun) }
	}
	w := &journalWriter{journal: d.Journal}
	u := &Updater{cfg: c, dir: d.StateDir, source: d.Source, log: d.Log, journal: w,
		report: &reporter{metrics: d.Metrics, onChange: c.OnChange, readback: c.Readback, start: begun, boot: c.Boot, uptime: c.Uptime,
			signed: func() bool { return c.Trust().Required() }},
		restarts: &restartCounter{journal: w, log: d.Log},
		commands: make(chan command), newURL: make(chan struct{}, 1), over: make(chan struct{}), replaced: make(chan error, 1)}
	w.stats = u.report.jobStats
	u.judge = judge{c.Trust, w, u.report}
	rec := w.record()
	if stateOf(rec) == Ready && isThere(u.dir, rec) {
		rec.State = string(Verifying)
	}
	state := stateOf(rec)
	if rec.State != "" && !State(rec.State).known() {
		u.log.Warn("the journal is of a newer otad: its state is not known here", "recorded", rec.State, "state", state)
	}
	u.show(state)
	d.Metrics.NextTry(u.report.secondsToNextTry)
	d.Metrics.Job(u.jobMetrics)
	return u, nil
}

// Start makes job the current one. The same job again only refreshes its URL and
// its signature; a failed one goes on from its checkpoint; the package of one that
// is Ready is digested again, and fetched if it is not what it was. Start blocks
// until Run has taken the job and the journal holds it. Errors: ErrBusy,
// ErrInstalling, *journal.FieldError for a job that breaks a rule, *Error with
// SignatureInvalid, the journal's when it cannot be written, or ctx's.
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
		if _, _, err := u.judge.posted(job, rec, false); err != nil {
			return err // before anything is given up for it
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
