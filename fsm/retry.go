package fsm

import (
	"fmt"
	"time"

	"otad/metrics"
	"otad/netio"
)

const (
	firstBackoff  = time.Second
	maxBackoff    = time.Minute
	backoffSpread = 0.2 // either way
)

// Backoff returns how long to wait before retry number n. The first retry is
// number 0; a negative number counts as 0. The wait is 1 s, 2 s, 4 s and so on,
// at most 1 min, and is then spread by up to 20 % up or down: boards that lost
// the same origin must not come back in step. jitter, in [0,1), is the place in
// the spread; rand.Float64 returns one. The result is between 0.8 s and 72 s.
func Backoff(n int, jitter float64) time.Duration {
	return backoff(firstBackoff, maxBackoff, n, backoffSpread, jitter)
}

// backoff returns first, doubled n times up to longest, and spread by up to that
// part of it either way.
func backoff(first, longest time.Duration, n int, spread, jitter float64) time.Duration {
	d := first
	for range n {
		if d *= 2; d >= longest {
			d = longest
			break
		}
	}
	return time.Duration(float64(d) * (1 - spread + 2*spread*jitter))
}

// retryPolicy decides what follows a failed attempt at the origin. It does no
// I/O and reads no clock. One transfer owns it.
type retryPolicy struct {
	retries     int           // failures in a row that are tried again
	interval    int64         // bytes that must be committed for failures to be counted anew
	networkWait time.Duration // longest wait for a network

	failures int       // in a row, without an interval committed in between
	mark     int64     // highest offset at which failures began to be counted anew
	offline  time.Time // since when there is no network, or no clock; zero: there is one
	insisted int       // answers in a row that the origin may be believed for
	believed bool      // it was
}

// action is what a decision asks the transfer to do.
type action int

const (
	actionFail    action = iota // the job has failed
	actionRetry                 // wait, then ask again; it costs a retry
	actionOffline               // wait for the network, then ask again; it costs nothing
	actionRestart               // give up every byte and ask again from offset 0
	actionAnew                  // ask from offset 0; give up every byte once that answer replaces them
)

// decision is what follows a failure. The fields that belong to the action are
// set.
type decision struct {
	action  action
	wait    time.Duration         // retry, offline
	first   bool                  // offline: the first failure without a network
	restart metrics.RestartReason // restart
	err     *Error                // fail
}

// alreadyRestarted is what a job was started over for, by the journal. Each is
// allowed once.
type alreadyRestarted struct{ changed, unsatisfiable bool }

// next decides what follows f at offset. now and jitter come from outside.
func (p *retryPolicy) next(f *netio.Error, offset int64, already alreadyRestarted, now time.Time, jitter float64) decision {
	if f.Kind == netio.NotPackage && f.Insist {
		p.insisted++
	} else {
		p.insisted = 0
	}
	switch f.Kind {
	case netio.Transient:
		return p.retry(f, offset, jitter)
	case netio.NotPackage:
		return p.notPackage(f, offset, jitter)
	case netio.Offline, netio.NoClock:
		if d, ok := p.waitForNetwork(now, jitter); ok {
			return d
		}
		return p.retry(f, offset, jitter)
	case netio.Changed:
		return p.restartOnce(already.changed, metrics.RestartChanged, ObjectChanged, f)
	case netio.Unsatisfiable:
		return p.restartOnce(already.unsatisfiable, metrics.RestartUnsatisfiable, RangeNotSatisfiable, f)
	case netio.WrongSize, netio.Complete:
		// Complete: the origin's object ends at the offset, the job's package
		// does not. An attempt at the package's end makes no request.
		return decision{err: &Error{Code: PackageSizeMismatch, Detail: f.Detail, Err: f}}
	case netio.Expired:
		return fail(URLExpired, f.Detail, f)
	default:
		if f.Status >= 400 && f.Status < 500 {
			return fail(Refused, f.Detail, f)
		}
		return fail(Unusable, f.Detail, f)
	}
}

// notPackage retries an answer that is not the package. Somebody else may have
// answered, so it proves nothing. Only an origin that answers in the same way at
// every retry in a row, and could not do otherwise (Insist), is believed once:
// the job starts over with what it answers to a request from offset 0.
func (p *retryPolicy) notPackage(f *netio.Error, offset int64, jitter float64) decision {
	d := p.retry(f, offset, jitter)
	if d.action == actionFail && f.Insist && p.insisted >= p.retries && offset > 0 && !p.believed {
		p.believed, p.failures = true, 0
		p.startedOver()
		return decision{action: actionAnew}
	}
	return d
}

// retry spends one of the retries. They are counted anew when another whole
// interval was committed beyond the highest offset so far. So a link that drops
// every few MB finishes; a link that drips, or an origin that ignores ranges and
// breaks off each time, does not go on for ever.
func (p *retryPolicy) retry(f *netio.Error, offset int64, jitter float64) decision {
	if offset-p.mark >= p.interval {
		p.failures, p.mark = 0, offset
	}
	p.failures++
	if p.failures > p.retries {
		return fail(RetriesSpent, fmt.Sprintf("%s (gave up after %d retries without progress)", f.Detail, p.retries), f)
	}
	wait := f.Wait
	if wait == 0 {
		wait = Backoff(p.failures-1, jitter)
	}
	return decision{action: actionRetry, wait: wait}
}

// waitForNetwork returns a wait of every few seconds, spread: a fleet that lost
// its network together must not come back in step. It returns false when the
// network has been away for too long.
func (p *retryPolicy) waitForNetwork(now time.Time, jitter float64) (decision, bool) {
	if p.networkWait == 0 {
		return decision{}, false
	}
	first := p.offline.IsZero()
	if first {
		p.offline = now
	}
	if now.Sub(p.offline) >= p.networkWait {
		return decision{}, false
	}
	wait := time.Duration((2 + 3*jitter) * float64(time.Second))
	return decision{action: actionOffline, wait: wait, first: first}, true
}

// online notes that there is a network. It returns how long there was none, and
// whether that was so.
func (p *retryPolicy) online(now time.Time) (away time.Duration, wasOffline bool) {
	if p.offline.IsZero() {
		return 0, false
	}
	away = now.Sub(p.offline)
	p.offline = time.Time{}
	return away, true
}

// restartOnce gives every byte up, unless that was done before for the same
// reason.
func (p *retryPolicy) restartOnce(done bool, why metrics.RestartReason, reason Reason, f *netio.Error) decision {
	if done {
		return fail(reason, f.Detail, f)
	}
	p.startedOver()
	return decision{action: actionRestart, restart: why}
}

// startedOver measures progress from 0 again: the offsets of another object are
// no measure of it.
func (p *retryPolicy) startedOver() { p.mark = 0 }

func fail(reason Reason, detail string, cause error) decision {
	return decision{err: &Error{Code: DownloadFailed, Reason: reason, Detail: detail, Err: cause}}
}
