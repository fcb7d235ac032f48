package fsm

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"otad/journal"
	"otad/metrics"
)

// work is what a state does until its next event. Run's goroutine owns it, but
// for err, which the work's own goroutine writes before it closes done.
type work struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when err is set and the goroutine has ended
	retry  chan struct{} // closed when the outcome is to be journaled again; nil: not tried yet
	next   event         // follows when err is nil
	err    error
}

// ended returns a channel that is closed when the work's outcome is to be acted
// on; without work it never is.
func (w *work) ended() <-chan struct{} {
	switch {
	case w == nil:
		return nil
	case w.retry != nil:
		return w.retry
	default:
		return w.done
	}
}

// failed reports whether the work has ended in an error that is not acted on yet.
func (w *work) failed() bool {
	if w == nil {
		return false
	}
	select {
	case <-w.done:
		return w.err != nil
	default:
		return false
	}
}

// begin starts the work of the current state, unless it is running.
func (u *Updater) begin(ctx context.Context) {
	if u.work != nil {
		return
	}
	var do func(context.Context) error
	var next event
	switch u.machine.current() {
	case Downloading:
		do, next = u.newTransfer().download, evDownloaded
	case Verifying:
		do, next = u.newVerifier().verify, evVerified
	default:
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &work{cancel: cancel, done: make(chan struct{}), next: next}
	u.work = w
	go func() {
		defer close(w.done)
		w.err = u.storageError(do(ctx))
	}()
}

// stopWork stops the work and waits for its end. It may checkpoint what it has
// received.
func (u *Updater) stopWork() {
	if u.work == nil {
		return
	}
	u.work.cancel()
	<-u.work.done
	u.work = nil
}

// finishWork fires the event that the work ended in. While the journal cannot
// take the event, the machine stays where it is and the event is tried again
// until the disk is repaired; with FailOnJournalError the error is returned.
func (u *Updater) finishWork(ctx context.Context) error {
	w := u.work
	if w.err != nil && ctx.Err() != nil {
		return nil // stopped, not failed: Run's next turn ends
	}
	if isReplaced(w.err) {
		return w.err
	}
	if job := u.journal.record().Job; job.Output != "" && isDamaged(w.err) && u.again == nil {
		// A board that has run from the device has changed by right what is there.
		// Nothing is claimed of it any more.
		u.log.Warn("what is on the device is not the package any more", "err", w.err)
		w.err = u.dir.RemovePartial(job.Name)
	}
	ev, change, why := w.next, recordChange(nil), (*Error)(nil)
	switch {
	case isDamaged(w.err) && u.again != nil:
		u.log.Warn("the package is fetched anew", "err", w.err)
		u.machine = newMachine(Ready, u.commitTransition, u.observe) // as the journal has it
		ev, change = evStart, u.again
		u.cause, u.started = metrics.CauseNewURL, time.Now()
	case w.err != nil:
		why = asError(w.err)
		ev, change = evFail, failChange(why, u.journal.durable())
	case ev == evVerified:
		published := remember(u.dir, u.journal.record())
		change = func(r *journal.Record) { readyChange(r); published(r) }
	}
	again := State(u.journal.record().State) == Ready // see New: it was counted when it became Ready
	if err := u.machine.fire(ctx, ev, change); err != nil {
		if u.cfg.FailOnJournalError {
			return u.unrecorded(w.err, err)
		}
		u.retryLater(ev, err)
		return nil
	}
	u.work, u.again = nil, nil
	w.cancel()
	switch {
	case ev == evVerified && !again:
		u.report.finished(metrics.Succeeded, u.started, nil)
	case ev == evFail:
		u.report.finished(metrics.Failed, u.started, why)
	}
	u.journal.tidy(u.dir, u.log)
	return nil
}

// retryLater has the work's outcome journaled again after journalRetry.
func (u *Updater) retryLater(ev event, err error) {
	level := slog.LevelDebug // the trouble can last for days: one line of it is enough
	if u.work.retry == nil {
		level = slog.LevelError
	}
	u.log.Log(context.Background(), level, "the journal cannot be written, trying again", "event", ev, "wait", journalRetry, "err", err)
	u.report.message("the journal cannot be written: " + err.Error())
	retry := make(chan struct{})
	time.AfterFunc(journalRetry, func() { close(retry) })
	u.work.retry = retry
}

// unrecorded returns the error of a job whose end the journal does not take:
// first why the job failed, if it did, then the journal's error.
func (u *Updater) unrecorded(why, err error) error {
	if why == nil {
		return asError(u.storageError(err))
	}
	e := *asError(why)
	e.Detail += "; " + err.Error()
	e.Err = errors.Join(why, err)
	return &e
}

// storageError returns err as DISK_FULL where that is its cause.
func (u *Updater) storageError(err error) error {
	need := jobWithSize(u.journal.record()).Size - u.journal.durable()
	return storageError(err, need, u.cfg.MinFree, u.dir.Free)
}

// recoverJob goes on with the job that was under way when the last process
// ended. It counts the start first, so that a job that kills otad each time ends
// in Failed.
func (u *Updater) recoverJob(ctx context.Context) error {
	u.journal.tidy(u.dir, u.log)
	if u.started.IsZero() && u.judge.isTrusted(u.journal.record()) {
		if err := u.machine.fire(ctx, evStart, againChange); err != nil {
			return err
		}
	}
	rec := u.journal.record()
	if !stateOf(rec).Active() || !u.started.IsZero() {
		return nil // nothing is under way, or this very process began it
	}
	u.cause = metrics.CauseRestart
	u.started = time.Now()
	restarts, err := u.restarts.begin()
	if err != nil {
		return err
	}
	u.log.Info("going on with the job", "state", rec.State, "name", rec.Job.Name, "version", rec.Job.Version,
		"durable", u.journal.durable(), "size", rec.Job.Size, "restarts", restarts)
	if restarts <= maxRestarts {
		return nil
	}
	why := crashLoopError()
	if err := u.machine.fire(ctx, evFail, failChange(why, u.journal.durable())); err != nil {
		return err
	}
	u.report.finished(metrics.Failed, u.started, why)
	u.journal.tidy(u.dir, u.log)
	u.unreserve(rec.Job.Name)
	return nil
}

// unreserve gives back the space of a failed job's file.
func (u *Updater) unreserve(name string) {
	if u.journal.durable() == 0 {
		return // the whole file is deleted
	}
	file, err := u.dir.OpenPartial(name)
	if err == nil {
		err = errors.Join(u.journal.unreserve(file), file.Close())
	}
	if err != nil {
		u.log.Warn("the reserved space stays taken", "err", err)
	}
}
