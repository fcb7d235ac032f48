package deviceapi

import (
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"otad/fsm"
	"otad/journal"
)

// Each accepted command writes the journal, and flash endures a limited number of
// writes. The burst is for a client that corrects itself or starts anew; none
// has a reason for more than one command a second.
const (
	commandBurst  = 10
	commandsAgain = time.Second
)

// commandLimit bounds the commands of all clients together that write the
// journal.
type commandLimit struct {
	now  func() time.Time
	rate *rate.Limiter

	mu   sync.Mutex
	last journal.Job // that was accepted
}

func newCommandLimit(now func() time.Time) *commandLimit {
	if now == nil {
		now = time.Now
	}
	return &commandLimit{now: now, rate: rate.NewLimiter(rate.Every(commandsAgain), commandBurst)}
}

// take takes one command from the limit. If none is left, ok is false. giveBack
// is for a command that was refused and wrote nothing.
func (l *commandLimit) take() (giveBack func(), ok bool) {
	now := l.now()
	r := l.rate.ReserveN(now, 1)
	if !r.OK() || r.DelayFrom(now) > 0 {
		r.CancelAt(now)
		return nil, false
	}
	return func() { r.CancelAt(now) }, true
}

// isRepeated reports whether job is the last one that was accepted, and still
// under way: posting it again writes nothing.
func (l *commandLimit) isRepeated(job journal.Job, s fsm.Snapshot) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.State.Active() && job == l.last
}

func (l *commandLimit) accepted(job journal.Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = job
}

// tooMany is the reply to a command over the limit.
func tooMany() reply {
	return problem(http.StatusTooManyRequests, "TOO_MANY_REQUESTS: at most one command a second, after the first ten")
}
