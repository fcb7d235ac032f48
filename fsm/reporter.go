package fsm

import (
	"fmt"
	"sync"
	"time"

	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// reporter is the only place that touches the snapshot, the metrics and
// OnChange, so that the three never disagree. Its methods may be called from any
// goroutine and never wait for the disk. What they report is durable already.
type reporter struct {
	metrics  *metrics.Metrics
	onChange func(Snapshot)
	readback bool      // Verifying reads the file back
	start    time.Time // of the process: the rate must not see the board's clock jump
	boot     string    // as Config.Boot, which is not empty here
	uptime   func() time.Duration

	mu       sync.Mutex // guards the fields below
	shown    Snapshot
	verified int64 // bytes read back
	reading  bool  // the file is being read, or will be
	rate     rate
	ahead    int64         // bytes of the present answer that are not durable yet
	lastByte time.Time     // from the network; zero: none in this stay in a state
	stats    journal.Stats // of the job over all processes
	active   time.Time     // since when its time is not in stats; zero: no work is under way
	next     time.Time     // when the failed job is started again; zero: it is not
}

// silenceShown is how long no byte comes before a snapshot's message says so.
const silenceShown = 5 * time.Second

// load replaces the snapshot by what the journal says. The same job keeps its
// retries and the offset that it was resumed from. nextTry is when a failed job is
// started again, zero when it is not.
func (r *reporter) load(rec journal.Record, checkpoints []journal.Checkpoint, nextTry time.Time) Snapshot {
	next := recorded(rec, checkpoints, r.readback)
	r.mu.Lock()
	if next.State != Idle && next.Name == r.shown.Name && next.Version == r.shown.Version {
		next.Retries, next.ResumedFrom = r.shown.Retries, r.shown.ResumedFrom
	}
	r.stats, r.active = rec.Stats, time.Time{}
	if next.State.Active() {
		r.active = time.Now()
		if r.stats.Progress == (journal.Progress{}) { // by an otad that did not store it
			r.stats.Progress = r.progressNow()
		}
	}
	if next.Host == "" && next.Name == r.shown.Name { // Ready has deleted the URL
		next.Host = r.shown.Host
	}
	r.shown = next
	r.rate, r.ahead, r.reading, r.verified = rate{}, 0, r.readback, 0 // nothing is being received
	r.lastByte, r.next = time.Time{}, nextTry
	r.mu.Unlock()
	r.metrics.SetState(next.State.Label())
	r.metrics.SetSize(next.Size)
	r.metrics.SetDurable(next.Durable)
	r.metrics.NetworkWaiting(false)
	r.metrics.Held(false)
	return r.snapshot()
}

// transition reports a transition that the journal holds.
func (r *reporter) transition(from, to State, rec journal.Record, checkpoints []journal.Checkpoint, nextTry time.Time) Snapshot {
	s := r.load(rec, checkpoints, nextTry)
	r.metrics.Transition(from.Label(), to.Label())
	r.onChange(s)
	return s
}

// began reports the offset at which this process begins with the job.
func (r *reporter) began(offset int64) {
	r.metrics.SetDurable(offset)
	r.change(func(s *Snapshot) { s.Durable, s.ResumedFrom = offset, offset })
}

// durable reports the bytes that the journal claims from now on.
func (r *reporter) durable(offset int64) {
	r.metrics.SetDurable(offset)
	r.change(func(s *Snapshot) {
		r.ahead = max(0, min(r.ahead, r.ahead+s.Durable-offset))
		if offset > s.Durable {
			r.stats.Progress = r.progressNow()
		}
		s.Durable = offset
	})
	r.onChange(r.snapshot())
}

// size reports the package's size, learned from the origin.
func (r *reporter) size(bytes int64) {
	r.metrics.SetSize(bytes)
	r.change(func(s *Snapshot) { s.Size = bytes })
}

// received counts bytes from the network.
func (r *reporter) received(n int64) {
	r.metrics.Received(n)
	r.mu.Lock()
	r.rate.add(time.Since(r.start), n)
	r.stats.Received += n
	r.ahead += n
	r.lastByte = time.Now()
	r.mu.Unlock()
}

// bytesPerSecond returns the rate of the network.
func (r *reporter) bytesPerSecond() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rate.perSecond(time.Since(r.start))
}

// packageRemoved counts an earlier package that was deleted to make room.
func (r *reporter) packageRemoved() { r.metrics.PackageRemoved() }

// rewound reports that the job goes on from a lower offset.
func (r *reporter) rewound(offset int64) {
	r.change(func(s *Snapshot) { s.ResumedFrom = min(s.ResumedFrom, offset) })
	r.durable(offset)
}

// overlap counts received bytes that the body dropped, because they are held.
func (r *reporter) overlap(n int64) {
	r.metrics.Received(n)
	r.discarded(n)
	r.count(func(s *journal.Stats) { s.Received += n })
}

// discarded counts bytes that were received and stored and are given up.
func (r *reporter) discarded(n int64) {
	r.metrics.Discarded(n)
	r.count(func(s *journal.Stats) { s.Discarded += n })
}

// request counts an answer of the origin by its status; 0: there was none. What
// came before it is durable or lost.
func (r *reporter) request(status int) {
	r.metrics.Request(status)
	r.change(func(*Snapshot) { r.ahead = 0 })
}

// resume counts a request that goes on from an offset above 0.
func (r *reporter) resume(cause metrics.Cause) {
	r.metrics.Resume(cause)
	r.count(func(s *journal.Stats) { s.Resumes++ })
}

// restart counts a return to an earlier offset, or a digest made anew.
func (r *reporter) restart(why metrics.RestartReason) { r.metrics.Restart(why) }

// retry counts a retry and shows what it waits for.
func (r *reporter) retry(reason netio.Reason, message string) {
	r.metrics.Retry(string(reason))
	r.count(func(s *journal.Stats) { s.Retries++ })
	r.change(func(s *Snapshot) {
		s.Retries++
		s.Message = message
	})
}

// waiting reports what the transfer waits for, at no cost to its retries.
func (r *reporter) waiting(w waitFor) {
	r.metrics.NetworkWaiting(w == waitNetwork)
	r.metrics.Held(w == waitHold)
	r.message(string(w))
}

// message shows one line for a person, until the next transition.
func (r *reporter) message(text string) {
	r.change(func(s *Snapshot) { s.Message = text })
}

// nextTry reports when the failed job is started again.
func (r *reporter) nextTry(at time.Time) { r.change(func(*Snapshot) { r.next = at }) }

// synced counts the time that one checkpoint's writes and sync took.
func (r *reporter) synced(d time.Duration) { r.metrics.DataSync(d) }

// read shows how far a file has been read again, 0 at the beginning.
func (r *reporter) read(n int64) {
	r.mu.Lock()
	r.reading, r.verified = true, n
	r.mu.Unlock()
}

// readBack is read with a report to OnChange.
func (r *reporter) readBack(n int64) {
	r.read(n)
	r.onChange(r.snapshot())
}

// verification counts a comparison of the digests.
func (r *reporter) verification(result metrics.VerificationResult) { r.metrics.Verification(result) }

// finished counts the end of a job. started is when this process began with it,
// zero when it did not; why is nil unless the job failed.
func (r *reporter) finished(result metrics.Result, started time.Time, why *Error) {
	r.metrics.Finished(result)
	if result == metrics.Succeeded && !started.IsZero() {
		r.metrics.DownloadSeconds(time.Since(started))
	}
	if why != nil {
		reason := string(why.Reason)
		if reason == "" {
			reason = reasonNone
		}
		r.metrics.JobFailed(string(why.Code), reason)
	}
}

// dropped counts transitions that fell out of a full outbox.
func (r *reporter) dropped(n int) {
	for range n {
		r.metrics.Callback(metrics.CallbackDropped)
	}
}

func (r *reporter) count(f func(*journal.Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

func (r *reporter) change(f func(*Snapshot)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.shown)
}

// snapshot returns what is shown now, with the rate and what follows from it.
func (r *reporter) snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.shown
	s.Stats = r.statsNow()
	s.Received = received(s, r.ahead)
	s.Progress = progress(s, r.verified, r.reading)
	if !r.next.IsZero() {
		s.NextTry = max(1, time.Until(r.next))
	}
	if s.State == Downloading {
		if silence := time.Since(r.lastByte); !r.lastByte.IsZero() && silence >= silenceShown && s.Message == Downloading.message() {
			s.Message = fmt.Sprintf("no byte for %d s", silence/time.Second)
		}
		if s.Message == Downloading.message() { // while it waits, a rate would be invented
			s.BytesPerSecond = r.rate.perSecond(time.Since(r.start))
		}
		if s.BytesPerSecond > 0 && s.Size > 0 {
			s.ETA = eta(s.Size-s.Received, s.BytesPerSecond)
		}
	}
	return s
}
