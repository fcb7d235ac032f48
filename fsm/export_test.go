package fsm

import (
	"context"
	"time"

	"otad/journal"
	"otad/netio"
)

// Seams for the tests in package fsm_test. Nothing else may reach inside.

const (
	MaxRestarts  = maxRestarts
	StableAfter  = stableAfter
	JournalRetry = journalRetry
	RehashStep   = rehashStep
)

// Machine is the machine alone, without the parts around it.
type Machine struct{ m *machine }

// NewMachine returns a machine in state. commit and observe get both ends of a
// transition; the first can veto it.
func NewMachine(state State, commit func(from, to State) error, observe func(from, to State)) Machine {
	return Machine{newMachine(state, func(from, to State, _ recordChange) error { return commit(from, to) }, observe)}
}

// Fire fires the event of that name.
func (m Machine) Fire(ctx context.Context, name string) error { return m.m.fire(ctx, event(name), nil) }

// Current returns the state of the machine.
func (m Machine) Current() State { return m.m.current() }

// KeptValidator returns what is left of r's validator under url.
func KeptValidator(r journal.Record, url string) journal.Validator { return keptValidator(r, url) }

// RetryPolicy is the policy alone; a test is its transfer.
type RetryPolicy struct{ p retryPolicy }

// NewRetryPolicy returns the policy of a transfer that begins at mark.
func NewRetryPolicy(retries int, interval, mark int64, networkWait time.Duration) *RetryPolicy {
	return &RetryPolicy{retryPolicy{retries: retries, interval: interval, mark: mark, networkWait: networkWait}}
}

// Next returns the decision in words: "retry in 1s", "wait 2s for the network",
// "restart: changed", or the error that fails the job.
func (r *RetryPolicy) Next(f *netio.Error, offset int64, changed, unsatisfiable bool, now time.Time, jitter float64) string {
	d := r.p.next(f, offset, alreadyRestarted{changed, unsatisfiable}, now, jitter)
	switch d.action {
	case actionRetry:
		return "retry in " + d.wait.String()
	case actionOffline:
		return "wait " + d.wait.String() + " for the network"
	case actionRestart:
		return "restart: " + string(d.restart)
	default:
		return d.err.Error()
	}
}

// Online notes that there is a network.
func (r *RetryPolicy) Online(now time.Time) { r.p.online(now) }

// TryAgainWait returns the wait of a job that failed as r says, and whether it is
// started again at all.
func TryAgainWait(a TryAgain, r journal.Record, jitter float64) (time.Duration, bool) {
	return a.wait(r, jitter)
}
