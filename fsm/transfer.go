package fsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// transfer is one stay in Downloading: attempts at the origin, with waits in
// between, until every byte is durable. The goroutine of the work owns it. While
// a body is being stored, the stages of the pipeline use the parts that
// pipeline.go names.
type transfer struct {
	cfg      Config
	dir      StateDir
	source   Source
	log      *slog.Logger
	journal  *journalWriter
	report   *reporter
	restarts *restartCounter
	newURL   <-chan struct{}

	file   Partial
	at     position
	blocks *blockPool
	pace   pace       // of the disk, from one attempt to the next
	flush  flushClock // the receiver's while a body is being stored
	policy retryPolicy
	cause  metrics.Cause // why the next attempt resumes
	url    string        // of the last attempt
	anew   bool          // the next attempt asks from 0, although bytes are held

	paused   bool // this start is out of the count of restarts, as long as a wait lasts
	survived bool // noCrash was called; the receiver's while a body is being stored
}

func (u *Updater) newTransfer() *transfer {
	log := u.log
	if u.journal.record().Tries > 0 {
		log = quiet(log)
	}
	return &transfer{cfg: u.cfg, dir: u.dir, source: u.source, log: log, journal: u.journal,
		report: u.report, restarts: u.restarts, newURL: u.newURL, cause: u.cause, flush: flushClock{longest: u.cfg.Flush},
		policy: retryPolicy{retries: u.cfg.Retries, interval: u.cfg.Checkpoint, networkWait: u.cfg.NetworkWait}}
}

// download is the work of Downloading. It returns nil when every byte of the
// package is durable and journaled.
func (t *transfer) download(ctx context.Context) (err error) {
	rec := t.journal.record()
	if !State(rec.State).known() {
		if done, err := t.isReady(ctx, jobWithSize(rec)); done || err != nil {
			return err
		}
		// The next start must not look again, and a newer otad must not take what
		// is here for a job in its own state.
		if _, err := t.journal.update(func(r *journal.Record) { r.State = string(Downloading) }); err != nil {
			return err
		}
	}
	err = t.withRoom(func() (err error) {
		t.file, err = t.dir.OpenPartial(rec.Job.Name)
		return err
	})
	if err != nil {
		return err
	}
	defer closeKeepErr(t.file, &err)
	r := resumer{t.journal, t.report, t.log}
	if t.at, err = r.resume(ctx, t.file, rec.Job); err != nil {
		return err
	}
	t.policy.mark = t.at.saved.Offset
	memory, free := t.cfg.AllocBuffer(blockCount * blockSize)
	defer free() // the stages have ended
	t.blocks = newBlockPool(memory)
	t.report.began(t.at.saved.Offset)
	if err := t.reserve(jobWithSize(t.journal.record()).Size); err != nil {
		return err
	}
	err = t.run(ctx)
	if err != nil && ctx.Err() == nil {
		if cut := t.journal.unreserve(t.file); cut != nil {
			t.log.Warn("the reserved space stays taken", "err", cut)
		}
	}
	return err
}

// isReady reports whether the job of a newer otad is published already: the state
// that this build does not have may have come after Ready.
func (t *transfer) isReady(ctx context.Context, job journal.Job) (bool, error) {
	if !isPublished(t.dir, job) {
		return false, nil
	}
	err := verifyPublished(ctx, t.dir, job, t.report.read)
	if isMismatch(err) {
		return false, nil // an older package of that name
	}
	return err == nil, err
}

func (t *transfer) run(ctx context.Context) error {
	for {
		if err := t.waitHeld(ctx); err != nil {
			return err
		}
		err := t.attempt(ctx)
		switch {
		case err == nil && t.mixtureFailed():
			if err := t.startOver(metrics.RestartMixed, func(r *journal.Record) { r.Mismatched++ }); err != nil {
				return err
			}
			t.policy.startedOver()
			continue
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		wait, err := t.recover(err)
		if err != nil {
			return err
		}
		if err := t.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// errURLReplaced ends an attempt whose answer would cost bytes while there is a
// newer URL, whose answer may not.
var errURLReplaced = errors.New("the URL was replaced")

// urlReplaced reports whether the URL of this attempt is not the job's any more.
// What that answer says about the object must then be ignored.
func (t *transfer) urlReplaced() bool { return t.url != t.journal.record().Job.URL }

// recover does what the policy decides after a failed attempt. It returns how
// long to wait before the next one, or why there is none.
func (t *transfer) recover(err error) (time.Duration, error) {
	var f *netio.Error
	switch {
	case errors.Is(err, errURLReplaced), errors.Is(err, errHeld):
		return 0, nil
	case !errors.As(err, &f):
		return 0, err
	case t.urlReplaced():
		// Ignore the failure, even a transient one: it came from the old URL,
		// and counting it could use up the last retry.
		return 0, nil
	}
	if f.Kind != netio.Offline && f.Kind != netio.NoClock {
		t.networkBack()
	}
	rec := t.journal.record()
	d := t.policy.next(f, t.at.saved.Offset, alreadyRestarted{rec.Changed > 0, rec.Unsatisfiable > 0}, time.Now(), t.cfg.Jitter())
	switch d.action {
	case actionRetry:
		t.noCrash()
		t.log.Warn("retrying", "reason", f.Reason, "attempt", t.policy.failures, "of", t.cfg.Retries, "wait", d.wait, "offset", t.at.saved.Offset, "err", f.Detail)
		t.report.retry(f.Reason, fmt.Sprintf("retry %d of %d in %s: %s", t.policy.failures, t.cfg.Retries, d.wait.Round(100*time.Millisecond), f.Detail))
		return d.wait, nil
	case actionOffline:
		if d.first {
			t.log.Warn("no network or no clock, waiting for it", "at_most", t.cfg.NetworkWait, "err", f.Detail)
			t.pauseCount()
		}
		if f.Kind == netio.NoClock {
			t.report.waiting(waitClock)
		} else {
			t.report.waiting(waitNetwork)
		}
		return d.wait, nil
	case actionAnew:
		t.anew = true
		return 0, nil
	case actionRestart:
		t.anew = false
		return 0, t.startOver(d.restart, func(r *journal.Record) {
			switch d.restart {
			case metrics.RestartChanged:
				r.Changed++
				r.TryOffset = 0 // another object's bytes are fetched for the first time
			case metrics.RestartUnsatisfiable:
				r.Unsatisfiable++
			}
			r.Validator = journal.Validator{}
		})
	default:
		return 0, d.err
	}
}

// networkBack notes that there is a network.
func (t *transfer) networkBack() {
	if away, wasOffline := t.policy.online(time.Now()); wasOffline {
		t.log.Info("the network is there", "waited", away.Round(time.Second))
	}
	t.resumeCount()
	t.report.waiting(waitNothing)
}

// pauseCount takes this start out of the count of restarts while it waits for
// something that the job is not to blame for; resumeCount counts it again.
func (t *transfer) pauseCount() { t.paused = t.paused || t.restarts.pause() }

func (t *transfer) resumeCount() {
	if t.paused {
		t.paused = !t.restarts.resume()
	}
}

// pause waits; a new URL ends it early.
func (t *transfer) pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-t.newURL:
			if t.urlReplaced() {
				return nil
			} // else an attempt has used that URL already
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
