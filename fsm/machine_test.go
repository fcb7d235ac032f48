package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"otad/fsm"
)

// events are the names of the machine's events, in the order of the columns of
// the table below.
func events() []string { return []string{"start", "downloaded", "verified", "fail", "reset"} }

// refused is an event that a state does not know.
const refused fsm.State = ""

// arrows is the machine written down a second time, by hand: where each event
// leads from each state.
func arrows() map[fsm.State][5]fsm.State {
	return map[fsm.State][5]fsm.State{
		fsm.Idle:        {fsm.Downloading, refused, refused, refused, fsm.Idle},
		fsm.Downloading: {refused, fsm.Verifying, refused, fsm.Failed, fsm.Idle},
		fsm.Verifying:   {refused, refused, fsm.Ready, fsm.Failed, fsm.Idle},
		fsm.Ready:       {fsm.Downloading, refused, refused, refused, fsm.Idle},
		fsm.Failed:      {fsm.Downloading, refused, refused, refused, fsm.Idle},
	}
}

// tape is what a machine did, in order: "commit Idle>Downloading".
type tape struct {
	entries []string
	veto    error
}

func (p *tape) machine(state fsm.State) fsm.Machine {
	return fsm.NewMachine(state, func(from, to fsm.State) error {
		p.entries = append(p.entries, fmt.Sprintf("commit %s>%s", from, to))
		return p.veto
	}, func(from, to fsm.State) {
		p.entries = append(p.entries, fmt.Sprintf("observe %s>%s", from, to))
	})
}

// want is what a transition leaves on the tape: the commit comes first, and
// staying in a state is nothing to be observed.
func want(from, to fsm.State) []string {
	out := []string{fmt.Sprintf("commit %s>%s", from, to)}
	if from != to {
		out = append(out, fmt.Sprintf("observe %s>%s", from, to))
	}
	return out
}

func TestEveryEventInEveryState(t *testing.T) {
	for _, from := range fsm.States() {
		for i, event := range events() {
			to := arrows()[from][i]
			t.Run(fmt.Sprintf("%s in %s", event, from), func(t *testing.T) {
				p := new(tape)
				m := p.machine(from)
				err := m.Fire(t.Context(), event)
				if to == refused {
					if err == nil || m.Current() != from || p.entries != nil {
						t.Errorf("error %v, then %s after %q; want a refusal and nothing else", err, m.Current(), p.entries)
					}
					return
				}
				if err != nil || m.Current() != to || !slices.Equal(p.entries, want(from, to)) {
					t.Errorf("error %v, then %s after %q; want %s after %q", err, m.Current(), p.entries, to, want(from, to))
				}
			})
		}
	}
}

func TestTransitionsAreTheArrowsBetweenStates(t *testing.T) {
	var want []string
	for from, row := range arrows() {
		for _, to := range row {
			if to != refused && to != from {
				want = append(want, fmt.Sprint(from, to))
			}
		}
	}
	var listed []string
	for _, tr := range fsm.Transitions() {
		listed = append(listed, fmt.Sprint(tr[0], tr[1]))
	}
	slices.Sort(want)
	slices.Sort(listed)
	if !slices.Equal(listed, want) {
		t.Errorf("listed are %q, want %q", listed, want)
	}
}

func TestRefusedCommitVetoesTheTransition(t *testing.T) {
	full := errors.New("no space")
	for _, from := range fsm.States() {
		for i, event := range events() {
			to := arrows()[from][i]
			if to == refused {
				continue
			}
			p := &tape{veto: full}
			m := p.machine(from)
			if err := m.Fire(t.Context(), event); !errors.Is(err, full) || m.Current() != from {
				t.Errorf("%s in %s: error %v and state %s, want the commit's error and no move", event, from, err, m.Current())
			}
			if p.veto = nil; m.Fire(t.Context(), event) != nil || m.Current() != to {
				t.Errorf("%s in %s: not possible any more after a veto", event, from)
			}
		}
	}
}

// looplab/fsm#115: an event with a cancelled context leaves the library in the
// middle of a transition for good.
func TestCancelledContextDoesNotWedgeTheMachine(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	m := new(tape).machine(fsm.Idle)
	for _, event := range []string{"start", "downloaded", "verified", "start", "fail", "reset", "reset"} {
		if err := m.Fire(ended, event); err != nil {
			t.Fatalf("%s: %v", event, err)
		}
	}
	if m.Current() != fsm.Idle {
		t.Errorf("in %s, want Idle", m.Current())
	}
}

// The library drops a callback without a word when it does not know its key.
func TestCallbackKeysAreKnownToTheLibrary(t *testing.T) {
	known := []string{"before_event", "leave_state", "enter_state", "after_event"}
	for _, e := range events() {
		known = append(known, "before_"+e, "after_"+e)
	}
	for _, s := range fsm.States() {
		known = append(known, "leave_"+string(s), "enter_"+string(s))
	}
	keys := callbackKeys(t)
	for _, key := range keys {
		if !slices.Contains(known, key) {
			t.Errorf("nothing ever calls %q", key)
		}
	}
	if len(keys) == 0 {
		t.Error("no callbacks found in machine.go")
	}
}

// callbackKeys are the keys of the looplab.Callbacks literal in machine.go.
func callbackKeys(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "machine.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if typ, ok := lit.Type.(*ast.SelectorExpr); !ok || typ.Sel.Name != "Callbacks" {
			return true
		}
		for _, e := range lit.Elts {
			key, err := strconv.Unquote(e.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		return true
	})
	return keys
}

func TestDiagramShowsEveryArrowTheSameWayEachTime(t *testing.T) {
	for format, arrow := range map[string]string{"mermaid": "%s --> %s", "dot": `"%s" -> "%s"`} {
		first, err := fsm.Diagram(format)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range fsm.Transitions() {
			if line := fmt.Sprintf(arrow, tr[0], tr[1]); !strings.Contains(first, line) {
				t.Errorf("%s: no %q in\n%s", format, line, first)
			}
		}
		for range 20 { // maps are walked in another order each time
			if again, _ := fsm.Diagram(format); again != first {
				t.Fatalf("%s: drawn differently:\n%s\n%s", format, first, again)
			}
		}
	}
	if _, err := fsm.Diagram("svg"); err == nil || !strings.Contains(err.Error(), `"svg"`) {
		t.Errorf("unknown format: %v", err)
	}
}
