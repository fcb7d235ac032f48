package app

import (
	"fmt"
	"sync/atomic"
	"time"

	"otad/board/deviceapi"
	"otad/board/systemd"
	"otad/fsm"
	"otad/journal"
)

// pulseLimit is the age from which a pulse counts as none where no init system
// names another.
const pulseLimit = 5 * time.Minute

// pulse shows whether the machine is alive. Two kinds of goroutines can hang on a
// dead disk:
//
//   - The machine's own, in a transition's commit, in the deletion of a file, or
//     in the wait for a transfer that it stops. It beats when it turns, so a hang
//     makes the pulse old.
//   - Those of a transfer, in one read, write or sync of the partial file or in
//     one commit. The machine's own goroutine turns meanwhile, so it beats only
//     while no such operation has taken longer than the limit.
//
// Neither a slow sync nor a long readback, which is many reads, takes as long. A
// reservation of space is not watched: some file systems write zeros for it. A
// transfer that waits (for the network, a hold file, a retry) is in no operation
// of the disk.
type pulse struct {
	limit time.Duration
	start time.Time     // of the process: the board's clock may jump
	beats atomic.Int64  // since start, of the last beat
	send  func() error  // to the init system's watchdog; nil: there is none
	sent  time.Duration // since start; the machine's goroutine owns it
	disk  operation     // of the partial file
	saves operation     // of the journal
}

// operation is one that may hang. One goroutine at a time begins and ends it.
type operation struct{ began atomic.Int64 } // since the start of the process; 0: none is under way

func (p *pulse) begin(o *operation) { o.began.Store(int64(max(1, time.Since(p.start)))) }
func (o *operation) end()           { o.began.Store(0) }

func newPulse() *pulse {
	p := &pulse{limit: pulseLimit, start: time.Now()}
	if limit := systemd.WatchdogInterval(); limit > 0 {
		p.limit, p.send = limit, systemd.NotifyWatchdog
	}
	return p
}

// every is how often the machine has to beat.
func (p *pulse) every() time.Duration { return p.limit / 2 }

// beat is called by the machine's own goroutine while it turns. An error of the
// message is not logged: the init system acts on its absence.
func (p *pulse) beat() {
	now := time.Since(p.start)
	if p.hanging(now) != "" {
		return
	}
	p.beats.Store(int64(now))
	if p.send != nil && (p.sent == 0 || now-p.sent >= p.limit/4) {
		p.sent = now
		_ = p.send()
	}
}

// hanging returns which operation takes longer than the limit, "" for none.
func (p *pulse) hanging(now time.Duration) string {
	for _, o := range []struct {
		what string
		op   *operation
	}{{"the partial file", &p.disk}, {"the journal", &p.saves}} {
		if began := o.op.began.Load(); began != 0 && now-time.Duration(began) > p.limit {
			return o.what
		}
	}
	return ""
}

// err returns why the pulse is too old, or nil. Any goroutine may call it.
func (p *pulse) err() error {
	now := time.Since(p.start)
	if what := p.hanging(now); what != "" {
		return fmt.Errorf("an operation on %s has not ended within %v: the disk hangs", what, p.limit)
	}
	if age := now - time.Duration(p.beats.Load()); age > p.limit {
		return fmt.Errorf("the state machine has not moved for %v, longer than %v: the disk hangs", age.Round(time.Second), p.limit)
	}
	return nil
}

// living is the machine whose health includes its pulse.
type living struct {
	deviceapi.Updater
	pulse *pulse
}

// Health returns an error without a look at the disk when that hangs.
func (l living) Health() error {
	if err := l.pulse.err(); err != nil {
		return err
	}
	return l.Updater.Health()
}

// watchedPartial is a partial file whose operations the pulse watches.
type watchedPartial struct {
	fsm.Partial
	pulse *pulse
}

func (w watchedPartial) ReadAt(b []byte, at int64) (int, error) {
	w.pulse.begin(&w.pulse.disk)
	defer w.pulse.disk.end()
	return w.Partial.ReadAt(b, at)
}

func (w watchedPartial) WriteAt(b []byte, at int64) (int, error) {
	w.pulse.begin(&w.pulse.disk)
	defer w.pulse.disk.end()
	return w.Partial.WriteAt(b, at)
}

func (w watchedPartial) Sync() error {
	w.pulse.begin(&w.pulse.disk)
	defer w.pulse.disk.end()
	return w.Partial.Sync()
}

// watchedJournal is a journal whose checkpoints the pulse watches.
type watchedJournal struct {
	fsm.Journal
	pulse *pulse
}

func (w watchedJournal) Commit(c journal.Checkpoint) error {
	w.pulse.begin(&w.pulse.saves)
	defer w.pulse.saves.end()
	return w.Journal.Commit(c)
}
