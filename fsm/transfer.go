package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"otad/hashing"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// transfer is one stay in Downloading: attempts at the origin, with waiting in
// between, until every byte is durable.
type transfer struct {
	*Updater
	file Partial
	at   position
	free chan *block // the blocks that are not under way
	pace pace        // the disk's

	failures int       // in a row, without an interval committed in between
	mark     int64     // highest offset at which failures began to count anew
	offline  time.Time // since when there is no network; zero: there is
	asked    string    // URL of the last attempt

	discounted bool // while offline this process does not count as a take-up
}

// download is the work of Downloading. It returns nil when every byte of the
// package is durable and journaled.
func (u *Updater) download(ctx context.Context) (err error) {
	job := u.Journal.Record().Job
	file, err := u.StateDir.OpenPartial(job.Name)
	if err != nil {
		return err
	}
	defer closing(file, &err)
	at, err := u.resume(ctx, file, job)
	if err != nil {
		return err
	}
	t := &transfer{Updater: u, file: file, at: at, mark: at.Offset, free: make(chan *block, blockCount)}
	memory, free := u.cfg.AllocBuffer(blockCount * blockSize)
	defer free() // the stages have ended
	for data := range slices.Chunk(memory, blockSize) {
		t.free <- &block{data: data}
	}
	u.progress.change(func(s *Snapshot) { s.Durable, s.ResumedFrom = at.Offset, at.Offset })
	u.Metrics.SetDurable(at.Offset)
	if err := t.reserve(sized(u.Journal.Record()).Size); err != nil {
		return err
	}
	err = t.run(ctx)
	if err != nil && ctx.Err() == nil {
		// A job that failed must not keep the space of bytes it never got.
		if cut := file.Truncate(t.at.Offset); cut != nil {
			t.Log.Warn("the reserved space stays taken", "err", cut)
		}
	}
	return err
}

func (t *transfer) run(ctx context.Context) error {
	for {
		err := t.attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait, err := t.decide(err)
		if err != nil {
			return err
		}
		if err := t.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// attempt asks the origin once, from where the file ends, and stores what comes.
func (t *transfer) attempt(ctx context.Context) error {
	rec := t.Journal.Record()
	if size := sized(rec).Size; size > 0 && t.at.Offset == size {
		return nil // cut between the last checkpoint and Verifying
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.asked = rec.Job.URL
	if t.at.Offset == 0 {
		rec.Validator = journal.Validator{} // no byte is held that another object's could be mixed with
	}
	body, err := t.Source.Open(ctx, netio.Request{URL: rec.Job.URL, Offset: t.at.Offset, Size: rec.Job.Size,
		Validator: netio.Validator(rec.Validator)})
	t.Metrics.Request(statusOf(body, err))
	if err != nil {
		return err
	}
	defer body.Close()
	t.online()
	if body.RangeIgnored {
		if t.replaced() {
			return errReplaced
		}
		if err := t.startOver(metrics.RestartRangeIgnored, func(r *journal.Record) {}); err != nil {
			return err
		}
	} else if t.at.Offset > 0 {
		t.Metrics.Resume(t.cause)
		t.Log.Info("resuming", "offset", t.at.Offset, "size", body.Size, "cause", t.cause)
	}
	if err := t.learn(rec, body); err != nil {
		return err
	}
	return t.take(ctx, cancel, body)
}

// take stores the body. What an answer gave that went on after its end is taken
// back: none of it can be trusted.
func (t *transfer) take(ctx context.Context, cancel context.CancelFunc, body *netio.Body) error {
	begin := t.at.Checkpoint
	err := t.pump(ctx, cancel, body, body.Size)
	t.Metrics.Received(body.Discarded())
	t.Metrics.Discarded(body.Discarded())
	var f *netio.Error
	if errors.As(err, &f) && f.Kind == netio.TooLong {
		if rewindErr := t.rewind(begin); rewindErr != nil {
			return rewindErr
		}
	}
	return err
}

func statusOf(body *netio.Body, err error) int {
	var f *netio.Error
	if errors.As(err, &f) {
		return f.Status
	}
	if body != nil {
		return body.Status
	}
	return 0
}

// learn takes what the first answer tells of the object into the journal, as far
// as it holds for the URL there: that may be a newer one than was asked.
func (t *transfer) learn(asked journal.Record, body *netio.Body) error {
	known := sized(asked).Size
	asked.Validator = journal.Validator(body.Validator)
	asked.Validator.Total = body.Size // an answer need not repeat what is known
	if rec := t.Journal.Record(); rec.Validator != keptValidator(asked, rec.Job.URL) {
		_, err := t.update(func(r *journal.Record) { r.Validator = keptValidator(asked, r.Job.URL) })
		if err != nil {
			return err
		}
	}
	if known == body.Size {
		return nil
	}
	t.progress.change(func(s *Snapshot) { s.Size = body.Size })
	t.Metrics.SetSize(body.Size)
	return t.reserve(body.Size)
}

// reserve makes sure that the package fits before its first byte is stored.
func (t *transfer) reserve(size int64) error {
	if size == 0 {
		return nil // learned from the first answer
	}
	return t.file.Reserve(size, t.cfg.MinFree)
}

// errReplaced ends an attempt whose answer would cost bytes while there is a
// newer URL, which may not.
var errReplaced = errors.New("the URL was replaced")

// replaced tells whether the URL of this attempt is not the job's any more. What
// its origin says of the object then holds for nobody.
func (t *transfer) replaced() bool { return t.asked != t.Journal.Record().Job.URL }

// decide says how long to wait before the next attempt, or why there is none.
func (t *transfer) decide(err error) (time.Duration, error) {
	var f *netio.Error
	switch {
	case errors.Is(err, errReplaced):
		return 0, nil
	case !errors.As(err, &f):
		return 0, t.local(err)
	case t.replaced():
		return 0, nil // even what would be tried again: it may have been the last try
	}
	t.cause = metrics.CauseNetwork
	if f.Kind != netio.Offline {
		t.online()
	}
	switch f.Kind {
	case netio.Transient:
		return t.retry(f)
	case netio.Offline:
		if wait, ok := t.waitForNetwork(f); ok {
			return wait, nil
		}
		return t.retry(f)
	case netio.Changed:
		return 0, t.once("OBJECT_CHANGED", f, metrics.RestartChanged, func(r *journal.Record) *int { return &r.Changed })
	case netio.Unsatisfiable:
		return 0, t.once("RANGE_NOT_SATISFIABLE", f, metrics.RestartUnsatisfiable, func(r *journal.Record) *int { return &r.Unsatisfiable })
	case netio.WrongSize, netio.Complete:
		// Complete: the origin says that the object ends here, the job says it
		// does not (attempt returns before it asks for nothing).
		return 0, &Error{Code: PackageSizeMismatch, Detail: f.Detail, Err: err}
	case netio.Expired:
		return 0, &Error{Code: DownloadFailed, Detail: "URL_EXPIRED " + f.Detail, Err: err}
	default:
		return 0, &Error{Code: DownloadFailed, Detail: f.Detail, Err: err}
	}
}

// retry spends one of the retries. The count starts anew when another whole
// interval was committed beyond the highest offset so far: a link that drops
// every few MB finishes, one that drips or an origin that ignores ranges and
// breaks off each time does not go on for ever.
func (t *transfer) retry(f *netio.Error) (time.Duration, error) {
	if t.at.Offset-t.mark >= t.cfg.Checkpoint {
		t.failures, t.mark = 0, t.at.Offset
	}
	t.failures++
	if t.failures > t.cfg.Retries {
		return 0, &Error{Code: DownloadFailed, Detail: fmt.Sprintf("%s (gave up after %d retries without progress)", f.Detail, t.cfg.Retries), Err: f}
	}
	wait := f.Wait
	if wait == 0 {
		wait = netio.Backoff(t.failures-1, t.cfg.Jitter())
	}
	t.Metrics.Retry(string(f.Reason))
	t.Log.Warn("retrying", "reason", f.Reason, "attempt", t.failures, "of", t.cfg.Retries, "wait", wait, "offset", t.at.Offset, "err", f.Detail)
	t.progress.change(func(s *Snapshot) {
		s.Retries++
		s.Message = fmt.Sprintf("retry %d of %d in %s: %s", t.failures, t.cfg.Retries, wait.Round(100*time.Millisecond), f.Detail)
	})
	return wait, nil
}

// waitForNetwork says how long to wait for a network that is not there: that is
// not the origin's failure and costs no retry.
func (t *transfer) waitForNetwork(f *netio.Error) (time.Duration, bool) {
	if t.cfg.NetworkWait == 0 {
		return 0, false
	}
	now := time.Now()
	if t.offline.IsZero() {
		t.offline = now
		t.Log.Warn("no network, waiting for it", "at_most", t.cfg.NetworkWait, "err", f.Detail)
		t.discount()
	}
	if now.Sub(t.offline) >= t.cfg.NetworkWait {
		return 0, false
	}
	t.Metrics.NetworkWaiting(true)
	t.progress.change(func(s *Snapshot) { s.Message = "waiting for the network" })
	// Every few seconds, spread: a fleet that lost its network together must not
	// come back in step.
	return time.Duration((2 + 3*t.cfg.Jitter()) * float64(time.Second)), true
}

// online notes that there is a network.
func (t *transfer) online() {
	if !t.offline.IsZero() {
		t.Log.Info("the network is there", "waited", time.Since(t.offline).Round(time.Second))
	}
	t.offline = time.Time{}
	t.recount()
	t.Metrics.NetworkWaiting(false)
	t.progress.change(func(s *Snapshot) { s.Message = message(Downloading) })
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
			if t.replaced() {
				return nil
			} // else it tells of a URL that has been asked already
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once starts over from the first byte, unless that was done before for the
// same reason; counter is where the journal counts it.
func (t *transfer) once(tag string, f *netio.Error, why metrics.RestartReason, counter func(*journal.Record) *int) error {
	rec := t.Journal.Record()
	if *counter(&rec) > 0 {
		return &Error{Code: DownloadFailed, Detail: tag + " " + f.Detail, Err: f}
	}
	t.mark = 0 // another object's offsets are no measure of progress
	return t.startOver(why, func(r *journal.Record) {
		*counter(r)++
		r.Validator = journal.Validator{}
	})
}

// startOver gives up every byte of the job: the journal first, then the file.
func (t *transfer) startOver(why metrics.RestartReason, also edit) error {
	t.Log.Warn("starting over", "reason", why, "offset", t.at.Offset)
	t.Metrics.Restart(why)
	rec, err := t.update(func(r *journal.Record) {
		also(r)
		r.Generation++
	})
	if err != nil {
		return err
	}
	return t.reposition(position{digest: hashing.New(algorithms(rec.Job))}, sized(rec).Size)
}

// rewind goes back to a checkpoint that was left behind.
func (t *transfer) rewind(cp journal.Checkpoint) error {
	if cp.Offset == 0 {
		if err := t.forgetBytes(); err != nil {
			return err
		}
		return t.reposition(position{digest: hashing.New(algorithms(t.Journal.Record().Job))}, 0)
	}
	if err := t.wrote(t.Journal.Rewind(cp)); err != nil {
		return err
	}
	digest, err := hashing.Resume(cp.Digest)
	if err != nil {
		return err
	}
	return t.reposition(position{cp, digest}, 0)
}

// reposition makes the file and what is shown agree with to.
func (t *transfer) reposition(to position, size int64) error {
	t.Metrics.Discarded(t.at.Offset - to.Offset)
	t.at = to
	t.Metrics.SetDurable(to.Offset)
	t.cfg.OnChange(t.progress.change(func(s *Snapshot) { s.Durable = to.Offset }))
	if err := t.file.Truncate(to.Offset); err != nil {
		return err
	}
	return t.reserve(size)
}

// closing closes f at the end of a function and keeps its error, unless there
// is one already.
func closing(f io.Closer, err *error) {
	if closeErr := f.Close(); *err == nil {
		*err = closeErr
	}
}

// shortage is an error that knows how many bytes a package still takes and how
// many there are for it, as that of Reserve does. Asked again, a file system that
// others write to answers otherwise.
type shortage interface {
	error
	Space() (need, free int64)
}

// local names an error of this board's own storage. Space that ran out is said
// in bytes: what the rest of the package needs, and what there is. Where that
// does not explain it (a quota, no inode, no room for a name) the cause is added.
func (u *Updater) local(err error) error {
	var named *Error
	if errors.As(err, &named) || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	var told shortage
	if errors.As(err, &told) {
		need, free := told.Space()
		return &Error{Code: DiskFull, Detail: fmt.Sprintf("need %d bytes, %d free", need, free), Err: err}
	}
	need := sized(u.Journal.Record()).Size - u.durable()
	free, statErr := u.StateDir.Free()
	if statErr != nil {
		return &Error{Code: DiskFull, Detail: fmt.Sprintf("need %d bytes, free space unknown", need), Err: err}
	}
	free = max(0, free-u.cfg.MinFree)
	detail := fmt.Sprintf("need %d bytes, %d free", need, free)
	if cause := err.Error(); need <= free && cause != detail {
		detail += " (" + cause + ")"
	}
	return &Error{Code: DiskFull, Detail: detail, Err: err}
}
