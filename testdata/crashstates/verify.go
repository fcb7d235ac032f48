package crashstates

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"otad/board/storage"
	"otad/fsm"
	"otad/hashing/signature"
	"otad/journal"
	"otad/metrics"
)

// patience is the time limit for a state to become a package.
const patience = 5 * time.Second

// Rig starts otad on crash states.
type Rig struct {
	// Dir is made for each state anew. A panic or a SIGBUS in otad ends this
	// program too; the state is then still in Dir.
	Dir string
	// Lying limits the checks to what is possible on a disk that lost bytes
	// after it had called them durable.
	Lying bool
	// Readback is the flag of that name.
	Readback bool
	// Metrics is what the machines count into.
	Metrics *metrics.Metrics
	// Trust, if not nil, is what packages have to be signed by.
	Trust *signature.Trust
	// SingleCheckpoint hides all checkpoints of the journal but the newest.
	SingleCheckpoint bool
}

// Result is the result of a start on a crash state.
type Result struct {
	Found fsm.State
	Start int64 // offset of the first request; the size if there was none
	Again int64 // bytes that had been written before the cut and were requested again
}

// Finish starts otad on the state, as the board's init would, finishes the job,
// and returns the first broken promise.
func (r *Rig) Finish(c *Crash) (Result, error) {
	type result struct {
		Result
		error
	}
	ended := make(chan result, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() {
		o, err := r.finish(ctx, c)
		ended <- result{o, err}
	}()
	select {
	case e := <-ended:
		return e.Result, e.error
	case <-time.After(patience + time.Second):
		return Result{}, fmt.Errorf("hangs for %v and ignores its context", patience)
	}
}

func (r *Rig) finish(ctx context.Context, c *Crash) (o Result, err error) {
	state := c.State()
	if err := state.write(r.Dir); err != nil {
		return o, err
	}
	m, err := r.start(c.Run.Jobs, c.Invariants.TriedAgain)
	if err != nil {
		return o, fmt.Errorf("does not start: %w", err)
	}
	defer func() { err = errors.Join(err, m.close()) }()
	found := m.found()
	o.Found = found.State
	if err := errors.Join(c.Invariants.check(found, state, r.Lying), c.Run.checkSlot(state[slotName].bytes())); err != nil {
		return o, err
	}
	if err := c.Invariants.HandOff.check(m.journal.Record()); err != nil {
		return o, err
	}
	if err := m.finish(ctx, c.Invariants, r.Lying); err != nil {
		return o, err
	}
	if o.Start, err = m.firstByte(c.Invariants.Job); err != nil {
		return o, err
	}
	o.Again = max(0, c.Invariants.Written-o.Start)
	if !r.Lying {
		if err := m.checkAsked(found, o); err != nil {
			return o, err
		}
	}
	return o, c.checkDirectory(r.Dir)
}

// finding is the state of otad after a start, before anything runs.
type finding struct {
	Recovery journal.Recovery
	State    fsm.State
	Job      *Job  // of the record; nil: none
	Durable  int64 // bytes that the newest checkpoint claims
	Tries    int   // failures of the job that the journal has counted
}

// check compares the finding with the invariants.
func (w *Invariants) check(found finding, state State, lying bool) error {
	if found.Recovery.Result == journal.SetAside && !lying {
		return fmt.Errorf("the journal was set aside: %s", found.Recovery.Reason)
	}
	accepted := w.State != ""
	switch {
	case found.Job == nil && found.State != fsm.Idle:
		return fmt.Errorf("the journal is %s with an unknown job", found.State)
	case accepted && found.Job != w.Job:
		return fmt.Errorf("the job was %s, found is %s without it", w.State, found.State)
	case accepted && rank(found.State) < rank(w.State) && !w.startedAgain(found):
		return fmt.Errorf("%s was reported, found is %s", w.State, found.State)
	case !accepted && w.Ready != nil && found.Job != w.Job && (found.Job != w.Ready || found.State != fsm.Ready):
		return fmt.Errorf("%s was reported Ready, found is %s", w.Ready.Name, found.State)
	case found.State == fsm.Downloading && found.Job == w.Job && found.Durable < w.Durable:
		return fmt.Errorf("%d durable bytes were reported, %d are claimed", w.Durable, found.Durable)
	case w.TriedAgain && found.State == fsm.Failed && found.Durable < w.Durable:
		return fmt.Errorf("the job failed with %d durable bytes, %d are claimed", w.Durable, found.Durable)
	case w.TriedAgain && found.State != fsm.Ready && found.Tries != w.Failures && found.Tries != w.Failures+1:
		return fmt.Errorf("%d failures were reported, %d are counted", w.Failures, found.Tries)
	case found.State == fsm.Ready && !state.holds(found.Job):
		return errors.New("it is Ready and the package is not whole")
	}
	for name, job := range w.Published {
		if job.toSlot {
			if w.Job == job && !state.holds(job) {
				return fmt.Errorf("%s was reported Ready and is not whole on the device", name)
			}
			continue // a later job may have begun to write over it
		}
		b := state[name].bytes()
		if !job.isWhole(b) && (w.Job.Name != name || !w.Job.isWhole(b)) {
			return fmt.Errorf("%s was reported Ready and is not whole", name)
		}
	}
	return nil
}

// startedAgain reports whether the job was reported failed, and its next try had
// begun at the cut.
func (w *Invariants) startedAgain(found finding) bool {
	return w.TriedAgain && w.State == fsm.Failed && found.State == fsm.Downloading
}

// rank orders the states of a job: it never goes back.
func rank(s fsm.State) int {
	switch s {
	case fsm.Downloading:
		return 1
	case fsm.Verifying:
		return 2
	case fsm.Ready, fsm.Failed:
		return 3
	default:
		return 0
	}
}

// checkAsked is for honest disks: a claim of the journal holds, no byte is
// downloaded twice after the start, and at most two intervals are downloaded
// again: one whose commit is under way, and the next one.
func (m *machine) checkAsked(found finding, o Result) error {
	if found.State == fsm.Downloading || m.triesAgain && found.State == fsm.Failed {
		first, err := m.firstByte(found.Job)
		if err != nil {
			return err
		}
		if first != found.Durable {
			return fmt.Errorf("the journal claims %d bytes, and the first one requested is %d", found.Durable, first)
		}
	}
	if o.Again > 2*longestInterval(m.jobs) {
		return fmt.Errorf("%d bytes were requested again", o.Again)
	}
	for _, origin := range m.origins {
		if n := origin.ServedTwice(); n > 0 {
			return fmt.Errorf("%d bytes were requested twice after the start", n)
		}
	}
	return nil
}

// checkDirectory checks the end: the packages are there, and nothing else.
func (c *Crash) checkDirectory(dir string) error {
	left, err := readState(dir)
	if err != nil {
		return err
	}
	published := map[string]*Job{}
	for name, job := range c.Invariants.Published {
		published[name] = job
	}
	if job := c.Invariants.Job; !job.Spoiled {
		published[job.Name] = job
	}
	for name, job := range published {
		if job.toSlot {
			if job == c.Invariants.Job && !left.holds(job) {
				return fmt.Errorf("at the end %s is not on the device", name)
			}
			continue
		}
		if p, there := left[name]; !there || !job.isWhole(p.bytes()) || p.mode != 0o644 {
			return fmt.Errorf("at the end %s is not the package (%d bytes, mode %o)", name, p.size, p.mode)
		}
	}
	if err := c.Run.checkSlot(left[slotName].bytes()); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	for name := range left {
		if name == slotName || name == c.Invariants.Job.Name+".otad-slot" && c.Invariants.Job.toSlot && !c.Invariants.Job.Spoiled {
			continue
		}
		if name != journal.FileName && name != storage.LockName && !isNote(name) && published[name] == nil && !c.Run.mayPublish(name) {
			return fmt.Errorf("at the end %s is left behind", name)
		}
	}
	rec, _, err := journal.Peek(dir)
	if err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	if want := c.Invariants.Job.end(); rec.State != string(want) {
		return fmt.Errorf("at the end the journal says %s instead of %s", rec.State, want)
	}
	return nil
}

// mayPublish reports whether the run has a job with this package name: a job
// that was given up just when its package became whole.
func (r *Run) mayPublish(name string) bool {
	for _, job := range r.Jobs {
		if job.Name == name && !job.Spoiled {
			return true
		}
	}
	return false
}

// end returns the final state of the job.
func (j *Job) end() fsm.State {
	if j.Spoiled {
		return fsm.Failed
	}
	return fsm.Ready
}

// keep writes the state to a directory for inspection.
func (c *Crash) keep(parent string) error {
	if err := os.MkdirAll(parent, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return c.State().write(filepath.Join(parent, strings.ReplaceAll(fmt.Sprintf("%s-%d-%x", c.Run.Name, c.At, c.id[:4]), " ", "-")))
}
