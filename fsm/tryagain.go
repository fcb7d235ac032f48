package fsm

import (
	"context"
	"math"
	"time"

	"otad/journal"
	"otad/metrics"
)

// TryAgain says how a failed job is started again by itself. Nobody sits beside
// a board, so what time or a repair can mend is tried for ever. The zero value
// leaves a failed job alone.
type TryAgain struct {
	First   time.Duration // wait after the first failure; 0: never
	Longest time.Duration // the wait doubles up to this; each one is spread by half
}

// The waits of failures that do not mend within seconds.
const (
	storageFirst, storageLongest = 10 * time.Minute, time.Hour // a full or failing disk
	refusedFirst, refusedLongest = time.Hour, 24 * time.Hour   // an answer such as 404
	// firstAfterStart bounds the first wait of a process: a reboot may have been
	// the repair. The board has no clock that counts while it is off.
	firstAfterStart = time.Minute
	// tryAgainSpread is wide, because these waits are long. Boards that lost an
	// origin together are in step; with 20 % a third of them came back within
	// ten seconds after two minutes (testdata/fleet).
	tryAgainSpread = 0.5
)

// wait returns how long a job that failed so waits for its next try. It returns
// false where a try is of no use: the URL has to be signed anew or is gone,
// the bytes are not the package's, or otad dies of the job.
func (a TryAgain) wait(r journal.Record, jitter float64) (time.Duration, bool) {
	if a.First == 0 || r.Job.URL == "" {
		return 0, false
	}
	first, longest := a.First, a.Longest
	switch Code(r.Code) {
	case DownloadFailed:
		switch Reason(r.Reason) {
		case URLExpired, CrashLoop:
			return 0, false
		case StorageLost, BoardError:
			first, longest = storageFirst, storageLongest
		case Refused:
			first, longest = refusedFirst, refusedLongest
		}
	case DiskFull:
		first, longest = storageFirst, storageLongest
	default:
		return 0, false
	}
	return backoff(first, max(first, longest), r.TryStep, tryAgainSpread, jitter), true
}

// countTry notes in the record that the job has failed once more. A try that
// committed bytes begins again at the first wait. Bytes that were held before and
// are fetched again are no progress, and neither are those of an object that
// changes each time.
func countTry(r *journal.Record, why *Error, durable int64) {
	r.TryStep++
	if r.Tries == 0 || durable > r.TryOffset && why.Reason != ObjectChanged {
		r.TryStep = 0
	}
	r.Tries++
	r.TryOffset = max(r.TryOffset, durable)
}

// armTry sets the timer of the next try of a job that has failed. It returns when
// that is, zero when no try is of use. Run's goroutine calls it.
func (u *Updater) armTry(rec journal.Record) time.Time {
	wait, ok := u.cfg.TryAgain.wait(rec, u.cfg.Jitter())
	if !ok {
		return time.Time{}
	}
	if u.started.IsZero() {
		wait = min(wait, time.Duration(u.cfg.Jitter()*float64(firstAfterStart)))
	}
	u.nextTry = time.NewTimer(wait)
	return time.Now().Add(wait)
}

func (u *Updater) stopTry() {
	if u.nextTry != nil {
		u.nextTry.Stop()
		u.nextTry = nil
	}
}

// tryDue returns the channel of the next try, nil when there is none.
func (u *Updater) tryDue() <-chan time.Time {
	if u.nextTry == nil {
		return nil
	}
	return u.nextTry.C
}

// tryAgain starts the failed job again. While the journal cannot be written, the
// job stays where it is for another wait.
func (u *Updater) tryAgain(ctx context.Context) {
	u.stopTry()
	rec := u.journal.record()
	u.cause, u.started = metrics.CauseNetwork, time.Now()
	if err := u.machine.fire(ctx, evStart, againChange); err != nil {
		u.log.Warn("the job cannot be started again", "tries", rec.Tries, "err", err)
		u.report.nextTry(u.armTry(rec))
	}
}

// secondsToNextTry returns NaN when no try of the download is due.
func (r *reporter) secondsToNextTry() float64 {
	if s := r.snapshot(); s.State == Failed && s.NextTry > 0 {
		return s.NextTry.Seconds()
	}
	return math.NaN()
}
