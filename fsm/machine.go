package fsm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	looplab "github.com/looplab/fsm"

	"otad/journal"
)

// State is where a job stands. It is persisted and exported as its text.
type State string

// The states of the machine.
const (
	Idle        State = "Idle"
	Downloading State = "Downloading"
	Verifying   State = "Verifying"
	Ready       State = "Ready"
	Failed      State = "Failed"
)

type event string

const (
	evStart      event = "start"
	evDownloaded event = "downloaded"
	evVerified   event = "verified"
	evFail       event = "fail"
	evReset      event = "reset"
)

// Label is the state as it is named outside the machine: in lower case.
func (s State) Label() string { return strings.ToLower(string(s)) }

// States lists the states in the order of a job's life.
func States() []State { return []State{Idle, Downloading, Verifying, Ready, Failed} }

// table is the machine: everything else in this package only fires its events.
func table() looplab.Events {
	return looplab.Events{
		{Name: string(evStart), Src: texts(Idle, Failed, Ready), Dst: string(Downloading)},
		{Name: string(evDownloaded), Src: texts(Downloading), Dst: string(Verifying)},
		{Name: string(evVerified), Src: texts(Verifying), Dst: string(Ready)},
		{Name: string(evFail), Src: texts(Downloading, Verifying), Dst: string(Failed)},
		{Name: string(evReset), Src: texts(States()...), Dst: string(Idle)},
	}
}

func texts(states ...State) []string {
	out := make([]string, len(states))
	for i, s := range states {
		out[i] = string(s)
	}
	return out
}

// Transitions lists every pair of different states that an event joins, in the
// order of the table.
func Transitions() [][2]State {
	var out [][2]State
	for _, e := range table() {
		for _, src := range e.Src {
			if src != e.Dst {
				out = append(out, [2]State{State(src), State(e.Dst)})
			}
		}
	}
	return out
}

// edit changes the journal's record in the transaction of a transition.
type edit func(*journal.Record)

// machine is the state machine over the journal: the journal leads, the machine
// follows. One goroutine owns it (looplab's Event races with itself).
type machine struct {
	fsm *looplab.FSM
}

// newMachine takes up the machine in state. commit makes a transition durable
// and vetoes it by an error; observe is told of it afterwards and cannot fail.
func newMachine(state State, commit func(from, to State, e edit) error, observe func(from, to State)) *machine {
	return &machine{fsm: looplab.NewFSM(string(state), table(), looplab.Callbacks{
		// Write-ahead: an error here cancels the event, so that the machine
		// never shows a state that the journal does not hold.
		"before_event": func(_ context.Context, e *looplab.Event) {
			if err := commit(State(e.Src), State(e.Dst), e.Args[0].(edit)); err != nil {
				e.Cancel(err)
			}
		},
		// Callbacks only watch. An event fired in here would nest, and the
		// outer watchers would run last, with the older state.
		"enter_state": func(_ context.Context, e *looplab.Event) {
			observe(State(e.Src), State(e.Dst))
		},
	})}
}

func (m *machine) current() State { return State(m.fsm.Current()) }

// fire makes the transition durable, then visible. After an error the machine
// stands where it stood, and so does the journal.
func (m *machine) fire(ctx context.Context, ev event, e edit) error {
	if e == nil {
		e = func(*journal.Record) {}
	}
	// Detached: an event that is given a cancelled context wedges the machine
	// for good (looplab/fsm#115).
	err := m.fsm.Event(context.WithoutCancel(ctx), string(ev), e)
	if none := (looplab.NoTransitionError{}); errors.As(err, &none) && none.Err == nil {
		return nil // reset in Idle: nothing to leave, the record is written
	}
	if veto := (looplab.CanceledError{}); errors.As(err, &veto) {
		return fmt.Errorf("%s in state %s: %w", ev, m.current(), veto.Err)
	}
	return err
}

// Diagram draws the machine, generated from the machine itself. Formats are
// "mermaid" and "dot" (Graphviz).
func Diagram(format string) (string, error) {
	m := looplab.NewFSM(string(Idle), table(), nil)
	switch format {
	case "mermaid":
		return looplab.VisualizeForMermaidWithGraphType(m, looplab.StateDiagram)
	case "dot":
		return looplab.Visualize(m), nil
	default:
		return "", fmt.Errorf("unknown diagram format %q: mermaid or dot", format)
	}
}
