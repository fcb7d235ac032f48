package fsm

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"otad/journal"
	"otad/metrics"
)

// work is what a state does until its next event.
type work struct {
	cancel context.CancelFunc
	gone   chan struct{} // closed when err is set and the goroutine has ended
	again  chan struct{} // closed when the outcome is to be tried once more; nil: not tried yet
	next   event         // what follows when err is nil
	err    error
}

// ended is closed when the work's outcome is to be acted on; without work it
// never is.
func (w *work) ended() <-chan struct{} {
	switch {
	case w == nil:
		return nil
	case w.again != nil:
		return w.again
	default:
		return w.gone
	}
}

// failed tells whether the work has ended with an error that is not acted on yet.
func (w *work) failed() bool {
	if w == nil {
		return false
	}
	select {
	case <-w.gone:
		return w.err != nil
	default:
		return false
	}
}

// begin starts the work of the current state, unless it runs already.
func (u *Updater) begin(ctx context.Context) {
	if u.work != nil {
		return
	}
	var do func(context.Context) error
	var next event
	switch u.machine.current() {
	case Downloading:
		do, next = u.download, evDownloaded
	case Verifying:
		do, next = u.verify, evVerified
	default:
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &work{cancel: cancel, gone: make(chan struct{}), next: next}
	u.work = w
	go func() {
		defer close(w.gone)
		w.err = u.local(do(ctx))
	}()
}

// halt stops the work and waits for it; it may checkpoint what it has received.
func (u *Updater) halt() {
	if u.work == nil {
		return
	}
	u.work.cancel()
	<-u.work.gone
	u.work = nil
}

// conclude fires the event that the work ended in. A journal that cannot take
// it keeps the machine where it is; the event is tried again until the disk is
// mended, or, by an impatient Updater, given to the caller.
func (u *Updater) conclude(ctx context.Context) error {
	w := u.work
	if w.err != nil && ctx.Err() != nil {
		return nil // stopped, not failed: Run's next turn ends
	}
	ev, e := w.next, edit(nil)
	switch {
	case w.err != nil:
		ev, e = evFail, failEdit(failed(w.err), u.durable())
	case ev == evVerified:
		// The URL may be a key, and nobody needs it any more. The size, learned
		// or given, is the package's now: it tells whether the package is there.
		e = func(r *journal.Record) {
			r.Job = sized(*r)
			r.Job.URL, r.Validator = "", journal.Validator{}
		}
	}
	if err := u.machine.fire(ctx, ev, e); err != nil {
		if u.cfg.FailOnJournalError {
			return u.unrecorded(w.err, err)
		}
		level := slog.LevelDebug // said once: it can last for days
		if w.again == nil {
			level = slog.LevelError
		}
		u.Log.Log(ctx, level, "the journal cannot be written, trying again", "event", ev, "wait", journalRetry, "err", err)
		u.progress.change(func(s *Snapshot) { s.Message = "the journal cannot be written: " + err.Error() })
		again := make(chan struct{})
		time.AfterFunc(journalRetry, func() { close(again) })
		w.again = again
		return nil
	}
	u.work = nil
	w.cancel()
	u.count(ev, w.err)
	u.collect()
	return nil
}

// unrecorded is the end of a job that the journal does not take: why it failed,
// if it did, comes first, and then what the journal's error is.
func (u *Updater) unrecorded(why, err error) error {
	if why == nil {
		return failed(u.local(err))
	}
	e := failed(why)
	return &Error{Code: e.Code, Detail: e.Detail + "; " + err.Error(), Err: errors.Join(why, err)}
}

// count tells the metrics how a job ended.
func (u *Updater) count(ev event, err error) {
	switch ev {
	case evVerified:
		u.Metrics.Finished(metrics.Succeeded)
		if !u.started.IsZero() {
			u.Metrics.DownloadSeconds(time.Since(u.started))
		}
	case evFail:
		u.Metrics.Finished(metrics.Failed)
	}
}
