package fsm

import (
	"fmt"
	"log/slog"
	"time"

	"otad/journal"
)

const (
	// maxRestarts is how many starts in a row without a new checkpoint a job
	// may have.
	maxRestarts = 10
	// stableAfter is how long a process must run before its start no longer
	// counts towards maxRestarts.
	stableAfter = time.Minute
)

// restartCounter counts in the journal how often in a row otad was started with
// a job under way and made no new checkpoint, so that a job that kills otad each
// time ends in Failed. begin is for Run's goroutine, pause and resume are for that
// of the transfer; clear may be called from any.
type restartCounter struct {
	journal *journalWriter
	log     *slog.Logger
	stable  *time.Timer // fires stableAfter the start, or after resume
}

// begin counts this start, and reports how often in a row otad was started.
func (c *restartCounter) begin() (int, error) {
	var newest uint64
	if cps := c.journal.checkpoints(); len(cps) > 0 {
		newest = cps[0].Seq
	}
	rec, err := c.journal.update(func(r *journal.Record) {
		if r.RestartsSeq != newest {
			r.Restarts, r.RestartsSeq = 0, newest
		}
		r.Restarts++
	})
	return rec.Restarts, err
}

// pause takes this start out of the count while there is no network: a board
// that is switched off before its modem is up, day after day, is in no crash
// loop. It reports whether there is something to resume.
func (c *restartCounter) pause() bool {
	return c.journal.record().Restarts > 0 && c.add(-1)
}

// resume counts this start again. From now on a crash counts as a restart
// without progress, until the process has run for stableAfter. It reports
// whether the journal took it.
func (c *restartCounter) resume() bool {
	ok := c.add(+1)
	c.stable.Reset(stableAfter)
	return ok
}

func (c *restartCounter) add(n int) bool {
	_, err := c.journal.update(func(r *journal.Record) { r.Restarts = max(0, r.Restarts+n) })
	if err != nil {
		c.log.Warn("the journal cannot count a start", "err", err)
	}
	return err == nil
}

// clear ends the count: the process was stable or is being stopped, or what it met
// is not the job's doing.
func (c *restartCounter) clear() {
	rec, cps := c.journal.record(), c.journal.checkpoints()
	if rec.Restarts == 0 || len(cps) > 0 && cps[0].Seq != rec.RestartsSeq {
		return // nothing to clear, or a new checkpoint ended the count: a stop is short of time
	}
	if _, err := c.journal.update(func(r *journal.Record) { r.Restarts = 0 }); err != nil {
		c.log.Warn("the journal cannot clear the count of starts", "err", err)
	}
}

// crashLoopError is why a job ends after maxRestarts.
func crashLoopError() *Error {
	return &Error{Code: DownloadFailed, Reason: CrashLoop, Detail: fmt.Sprintf(
		"otad ended %d times in a row while taking up this job, without a new checkpoint", maxRestarts)}
}
