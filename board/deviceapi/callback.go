package deviceapi

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"otad/fsm"
	"otad/journal"
)

// Outbox is where transitions wait until they have been told. They were put
// there in the transaction of the transition itself, so they survive a reboot.
type Outbox interface {
	// Pending lists what waits, oldest first.
	Pending() []journal.OutboxEntry
	// Delivered takes the notice with that Seq out, durably. One that is not
	// there any more is fine.
	Delivered(seq uint64) error
}

// CallbackConfig is what NewCallbacks needs.
type CallbackConfig struct {
	URL       string              // where to post; http or https
	Outbox    Outbox              // required
	Log       *slog.Logger        // required; never told the query or userinfo of URL
	Timeout   time.Duration       // of one try, answer included; 0: 5 s
	Transport http.RoundTripper   // nil: HTTP/1.1, a connection for each post, proxy from the environment but not to loopback
	OnResult  func(result string) // after each try: delivered, rejected, failed; and dropped for each message given up; nil: nobody
	OnQueue   func(length int)    // how many transitions wait; nil: nobody
	Rand      func() float64      // in [0,1), spreads the tries; nil: math/rand/v2
}

// The results that OnResult is told.
const (
	ResultDelivered = "delivered" // answered with a 2xx
	ResultRejected  = "rejected"  // answered with anything else
	ResultFailed    = "failed"    // not answered
	ResultDropped   = "dropped"   // given up: superseded by a later one
)

const (
	tryTimeout  = 5 * time.Second
	firstWait   = time.Second
	longestWait = time.Minute

	// progressStep is the distance of two progress posts in percent.
	progressStep = 5
)

// Callbacks tells a receiver, usually the board's device-api, what happens.
//
// Transitions come from the outbox, which keeps the newest. They are posted in
// order, each until it was answered with a 2xx, for ever, with waits of 1 s, 2 s,
// 4 s up to 1 min between the tries. An answer that says "never" (4xx, or a
// redirect, which is not followed) is no end either: a receiver that has just
// booted says 404 until its routes are there. A transition may arrive twice, when
// otad was stopped between the answer and the note of it.
//
// Progress is posted at every multiple of 5 %, once, between transitions; the
// latest wins, and what a later transition has made stale is not sent.
type Callbacks struct {
	cfg  CallbackConfig
	post poster

	transition chan struct{} // holds a token when the outbox may have more
	progressed chan struct{} // holds a token when pending was set

	mu      sync.Mutex
	subject subject  // of the last Notify
	step    int      // progress of the last Notify, as a multiple of progressStep
	pending *message // a progress post that waits to be sent

	// Owned by Run.
	last     message // posted, or given up, as the last one
	settled  uint64  // Seq of the last notice that needs no further try
	failures int     // in a row; sets the next wait
}

// subject is what progress is about; another one means that a transition was
// made.
type subject struct {
	state         fsm.State
	version, name string
}

// NewCallbacks checks the URL and makes a sender. Nothing is sent before Run.
func NewCallbacks(c CallbackConfig) (*Callbacks, error) {
	if c.Timeout == 0 {
		c.Timeout = tryTimeout
	}
	if c.OnResult == nil {
		c.OnResult = func(string) {}
	}
	if c.OnQueue == nil {
		c.OnQueue = func(int) {}
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	post, err := newPoster(c.URL, c.Timeout, c.Transport)
	if err != nil {
		return nil, err
	}
	c.Log = c.Log.With("callback", post.shown)
	return &Callbacks{cfg: c, post: post, transition: make(chan struct{}, 1), progressed: make(chan struct{}, 1)}, nil
}

// Notify takes note of a snapshot, after every transition and as often as
// progress is made. It never blocks. Calls must come in the order of the
// snapshots.
func (c *Callbacks) Notify(s fsm.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := subject{s.State, s.Version, s.Name}
	step := s.Progress / progressStep * progressStep
	if c.subject != now {
		c.replace(nil)
		poke(c.transition)
	}
	working := s.State == fsm.Downloading || s.State == fsm.Verifying
	if working && step != c.step {
		c.replace(&message{Stage: stage(s.State), Progress: step, Message: s.Message})
		poke(c.progressed)
	}
	c.subject, c.step = now, step
}

// Wake says that the outbox holds a new notice. It never blocks, and ends a
// wait for the next try.
func (c *Callbacks) Wake() { poke(c.transition) }

// replace puts m in the place of the progress that waits. mu is held.
func (c *Callbacks) replace(m *message) {
	if c.pending != nil {
		c.cfg.OnResult(ResultDropped)
	}
	c.pending = m
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
