package crashstates

import (
	"encoding/json"
	"maps"
	"strings"

	"otad/fsm"
)

// Witness is what somebody outside knows at one moment of a log: what otad has
// told, and therefore owes, whatever happens to the power. A witness does not
// change; each event makes the next one.
type Witness struct {
	Job     *Job      // that the running process was started for; nil: none yet
	State   fsm.State // of Job as told last; empty: Job was not yet accepted
	Durable int64     // bytes of Job that were told to be durable
	Written int64     // end of the bytes of Job that were written: those after it cannot be asked for again
	Ready   *Job      // the last one told Ready; nil: none
	// Standing is what lies under each final name as told.
	Standing map[string]*Job
}

// after returns the witness of o.
func (w *Witness) after(o Op) *Witness {
	next := *w
	switch {
	case o.Kind == Begin:
		if o.Job != w.Job {
			next.Job, next.State, next.Durable, next.Written = o.Job, "", 0, 0
		} else if w.State == fsm.Failed {
			next.State = "" // it is asked for once more
		}
	case o.Kind == Say:
		for line := range strings.Lines(string(o.Data)) {
			next.hear(line)
		}
	case w.Job == nil || o.Name != w.Job.part():
		return w
	case o.Kind == Write:
		next.Written = o.At + int64(len(o.Data))
	case o.Kind == Truncate:
		next.Written = min(w.Written, o.At)
	default:
		return w
	}
	return &next
}

// hear takes in one line of otad's log.
func (w *Witness) hear(line string) {
	var said struct {
		Msg, To, Name string
		Durable       int64
	}
	if json.Unmarshal([]byte(line), &said) != nil {
		return // the result on stdout, which only repeats
	}
	switch said.Msg {
	case "starting over":
		w.Durable, w.Written = 0, 0
	case "progress":
		w.Durable = said.Durable
	case "transition", "the job failed":
		if said.Name == w.Job.Name {
			w.State, w.Durable = fsm.State(said.To), said.Durable
		}
		if w.State == fsm.Ready {
			w.Ready = w.Job
			w.Standing = maps.Clone(w.Standing)
			if w.Standing == nil {
				w.Standing = make(map[string]*Job)
			}
			w.Standing[w.Job.Name] = w.Job
		}
	}
}
