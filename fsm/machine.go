package fsm

import (
	"context"
	"errors"
	"fmt"

	looplab "github.com/looplab/fsm"

	"otad/journal"
)

// machine is the state machine over the journal: the journal leads, the machine
// follows. One goroutine owns it, because looplab's Event races with itself.
type machine struct {
	fsm *looplab.FSM
}

// newMachine returns a machine in state. commit makes a transition durable; its
// error vetoes the transition. observe is called after the transition and cannot
// fail.
func newMachine(state State, commit func(from, to State, c recordChange) error, observe func(from, to State)) *machine {
	return &machine{fsm: looplab.NewFSM(string(state), looplabEvents(), looplab.Callbacks{
		// Write-ahead: an error here cancels the event, so that the machine
		// never shows a state that the journal does not hold.
		"before_event": func(_ context.Context, e *looplab.Event) {
			if err := commit(State(e.Src), State(e.Dst), e.Args[0].(recordChange)); err != nil {
				e.Cancel(err)
			}
		},
		// This callback only reports. An event fired in here would nest, and the
		// outer callbacks would run last, with the older state.
		"enter_state": func(_ context.Context, e *looplab.Event) {
			observe(State(e.Src), State(e.Dst))
		},
	})}
}

// looplabEvents returns the table of transitions as looplab takes it.
func looplabEvents() looplab.Events {
	var events looplab.Events
	for _, t := range transitionTable() {
		e := looplab.EventDesc{Name: string(t.event), Dst: string(t.to)}
		for _, from := range t.from {
			e.Src = append(e.Src, string(from))
		}
		events = append(events, e)
	}
	return events
}

func (m *machine) current() State { return State(m.fsm.Current()) }

// fire makes the transition durable, then visible. After an error the machine
// and the journal are in the state that they were in before.
func (m *machine) fire(ctx context.Context, ev event, c recordChange) error {
	if c == nil {
		c = func(*journal.Record) {}
	}
	// Without the caller's cancellation: looplab's machine refuses every later
	// event after one that got a cancelled context (looplab/fsm#115).
	err := m.fsm.Event(context.WithoutCancel(ctx), string(ev), c)
	if none := (looplab.NoTransitionError{}); errors.As(err, &none) && none.Err == nil {
		return nil // reset in Idle: the state stays, the record is written
	}
	if veto := (looplab.CanceledError{}); errors.As(err, &veto) {
		return fmt.Errorf("%s in state %s: %w", ev, m.current(), veto.Err)
	}
	return err
}

// Diagram returns a picture of the machine, generated from its table. format is
// "mermaid" or "dot" (Graphviz); any other is an error.
func Diagram(format string) (string, error) {
	m := looplab.NewFSM(string(Idle), looplabEvents(), nil)
	switch format {
	case "mermaid":
		return looplab.VisualizeForMermaidWithGraphType(m, looplab.StateDiagram)
	case "dot":
		return looplab.Visualize(m), nil
	default:
		return "", fmt.Errorf("unknown diagram format %q: mermaid or dot", format)
	}
}
