package fsm

import "slices"

// State is where a job stands. The journal and the API hold it as its text.
type State string

// The states of the machine.
const (
	Idle        State = "Idle"
	Downloading State = "Downloading"
	Verifying   State = "Verifying"
	Ready       State = "Ready"
	Failed      State = "Failed"
)

// stateInfo is a row of the table of states.
type stateInfo struct {
	state   State
	label   string // in metrics
	message string // one line for a person
	active  bool   // work is under way
}

// stateTable lists the states in the order of a job's life. A state that is
// added here raises [journal.RecordVersion], because an older otad, started by a
// roll-back, has to map it to one of its own (see stateOf).
func stateTable() []stateInfo {
	return []stateInfo{
		{Idle, "idle", "Updater ready", false},
		{Downloading, "downloading", "Downloading", true},
		{Verifying, "verifying", "Verifying", true},
		{Ready, "ready", "Package ready", false},
		{Failed, "failed", "Failed", false},
	}
}

// States returns the states in the order of a job's life.
func States() []State {
	var out []State
	for _, row := range stateTable() {
		out = append(out, row.state)
	}
	return out
}

// Label returns the state's name in metrics: in lower case.
func (s State) Label() string { return s.info().label }

// Active reports whether a job is being worked on in the state.
func (s State) Active() bool { return s.info().active }

// message returns what a person reads of the state.
func (s State) message() string { return s.info().message }

// known reports whether this build has the state.
func (s State) known() bool { return s.info().state == s }

// info returns the row of s, or that of Idle when this build has no such state.
func (s State) info() stateInfo {
	table := stateTable()
	i := slices.IndexFunc(table, func(row stateInfo) bool { return row.state == s })
	return table[max(0, i)]
}

type event string

const (
	evStart      event = "start"
	evDownloaded event = "downloaded"
	evVerified   event = "verified"
	evFail       event = "fail"
	evReset      event = "reset"
)

// transition is a row of the table of events.
type transition struct {
	event event
	from  []State
	to    State
}

// transitionTable is the machine. The rest of the package only fires its events.
func transitionTable() []transition {
	return []transition{
		{evStart, []State{Idle, Failed, Ready}, Downloading},
		{evDownloaded, []State{Downloading}, Verifying},
		{evVerified, []State{Verifying}, Ready},
		{evFail, []State{Downloading, Verifying}, Failed},
		{evReset, States(), Idle},
	}
}

// Transitions returns every pair of different states that an event joins, in the
// order of the table.
func Transitions() [][2]State {
	var out [][2]State
	for _, t := range transitionTable() {
		for _, from := range t.from {
			if from != t.to {
				out = append(out, [2]State{from, t.to})
			}
		}
	}
	return out
}
