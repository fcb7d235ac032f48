package crashstates

import (
	"encoding/json"
	"maps"
	"strings"

	"otad/fsm"
)

// Invariants are the reports of otad up to one moment of a log. They must hold
// after a power cut at that moment. The values do not change; each event makes
// new ones.
type Invariants struct {
	Job     *Job      // that the running process was started for; nil: none yet
	State   fsm.State // of Job in the last report; empty: Job was not accepted yet
	Durable int64     // bytes of Job that were reported durable
	Written int64     // end of the bytes of Job that were written
	Ready   *Job      // the last one reported Ready; nil: none
	// Published is the job of each final name that was reported Ready.
	Published map[string]*Job
	// TriedAgain: the process starts Job again by itself after a failure.
	TriedAgain bool
	Failures   int // of Job that were reported since it was posted
	HandOff    HandOff
}

// after returns the invariants of o.
func (w *Invariants) after(o Op) *Invariants {
	next := *w
	switch {
	case o.Kind == Begin:
		next.TriedAgain = o.Serve
		next.HandOff.Expects = o.Expects
		switch {
		case o.Job != w.Job:
			next.Job, next.State, next.Durable, next.Written, next.Failures = o.Job, "", 0, 0, 0
		case (w.State == fsm.Failed || w.State == fsm.Ready) && !o.Serve:
			next.State, next.Failures = "", 0 // the job is posted once more
		}
	case o.Kind == Print:
		for line := range strings.Lines(string(o.Data)) {
			next.observe(line)
		}
	case o.Kind == Create && isNote(o.Name):
		next.HandOff = w.HandOff.after(o.Name)
	case w.Job == nil || o.Name != w.Job.part() && o.Name != slotName:
		return w
	case o.Name == slotName && o.At < slotHead:
		return w // its head comes and goes
	case o.Kind == Write && o.At >= w.Job.object.Len():
		return w // the first interval of an answer that takes over; it is copied to its place
	case o.Kind == Write:
		next.Written = o.At + int64(len(o.Data))
	case o.Kind == Truncate:
		next.Written = min(w.Written, o.At)
	default:
		return w
	}
	return &next
}

// report is a line of otad's log.
type report struct {
	Msg, From, To, Name, Reason string
	Durable                     int64
}

// parseReport returns false for a line that is not of the log.
func parseReport(line string) (r report, ok bool) {
	return r, json.Unmarshal([]byte(line), &r) == nil
}

// observe records one line of otad's log.
func (w *Invariants) observe(line string) {
	said, ok := parseReport(line)
	if !ok {
		return // the result on stdout, which repeats the log
	}
	defer func() {
		if w.Job != nil && w.Job.replaced {
			w.Durable = min(w.Durable, w.Job.kept)
		}
	}()
	switch said.Msg {
	case "installation":
		w.HandOff.Shown = fsm.Stage(said.To)
	case "starting over":
		w.Durable, w.Written = 0, 0
		if said.Reason == "range_ignored" {
			w.Durable = Interval // of the answer that takes over, or else what was held
		}
	case "progress":
		w.Durable = said.Durable
	case "transition", "the job failed", "the job still fails":
		if said.Name == w.Job.Name {
			w.State, w.Durable = fsm.State(said.To), said.Durable
		}
		if w.State == fsm.Failed {
			w.Failures++
		}
		if w.State == fsm.Ready {
			w.Ready = w.Job
			w.Published = maps.Clone(w.Published)
			if w.Published == nil {
				w.Published = make(map[string]*Job)
			}
			w.Published[w.Job.Name] = w.Job
		}
	}
}
