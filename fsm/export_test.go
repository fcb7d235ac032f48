package fsm

import (
	"context"

	"otad/journal"
)

// Seams for the tests in package fsm_test; nothing else may reach inside.

const (
	MaxTakeUps   = maxTakeUps
	Survival     = survival
	JournalRetry = journalRetry
	RehashStep   = rehashStep
)

// Machine is the machine alone, without the rooms around it.
type Machine struct{ m *machine }

// NewMachine takes up a machine in state. commit and observe are told where a
// transition leads; the first can veto it.
func NewMachine(state State, commit func(from, to State) error, observe func(from, to State)) Machine {
	return Machine{newMachine(state, func(from, to State, _ edit) error { return commit(from, to) }, observe)}
}

// Fire fires the event of that name.
func (m Machine) Fire(ctx context.Context, name string) error { return m.m.fire(ctx, event(name), nil) }

// Current is the state that the machine shows.
func (m Machine) Current() State { return m.m.current() }

// KeptValidator is what r's validator is worth under url.
func KeptValidator(r journal.Record, url string) journal.Validator { return keptValidator(r, url) }
