package deviceapi

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// Outbox holds the transitions that the receiver has not accepted yet. The
// state machine adds each in the transaction of the transition itself, so they
// survive a reboot. [Callbacks.Run] calls the methods, from one goroutine.
type Outbox interface {
	// Pending returns the transitions, oldest first.
	Pending() []Transition
	// Job returns the current job, the zero EntryJob for none.
	Job() journal.EntryJob
	// Delivered removes the entry with that Seq durably. A missing entry is no
	// error.
	Delivered(seq uint64) error
}

// Transition is an outbox entry with the job that it is about.
type Transition struct {
	Entry journal.OutboxEntry
	Job   journal.EntryJob // zero: there is none
}

// CallbackConfig configures NewCallbacks. Run calls the functions in it, and
// Notify calls OnResult, maybe at the same time: they must return fast and must
// not call Notify.
type CallbackConfig struct {
	URL     string        // where to post; http or https
	Token   string        // bearer token of the requests; empty: none
	Outbox  Outbox        // required
	Log     *slog.Logger  // required; gets no query or userinfo of URL
	Timeout time.Duration // of one try, response included; 0: 5 s
	TLSMin  uint16        // lowest version of TLS, see netio.TLSConfig; 0: 1.2

	// Transport sends the requests. If it is nil, each post opens a connection
	// of its own with HTTP/1.1, through the proxy of the environment except to
	// loopback. localhost is not looked up, and TLS has the rules of the origin.
	Transport http.RoundTripper

	OnResult func(result string) // gets one of the Result constants; may be nil
	OnQueue  func(length int)    // gets the number of outbox entries; may be nil
	Rand     func() float64      // jitter of the back-off in [0,1); nil: math/rand/v2
}

// The results that OnResult is called with: one of the first three after each
// try, the last one for progress that is not posted.
const (
	ResultDelivered = "delivered" // the response was a 2xx
	ResultRejected  = "rejected"  // the response was anything else
	ResultFailed    = "failed"    // there was no response
	ResultDropped   = "dropped"   // progress was replaced before it was posted
)

const (
	tryTimeout = 5 * time.Second
	maxBackoff = time.Minute

	// progressStep is the distance of two progress posts in percent.
	progressStep = 5
)

// Callbacks posts transitions and progress to a receiver, usually the board's
// device-api.
//
// Transitions come from the outbox, which keeps the newest. They are posted in
// order, each until the response is a 2xx, without limit, with a back-off from
// 1 s to 1 min between the tries. Other responses (4xx, or a redirect, which is
// not followed) do not end this: a receiver that has just booted may answer 404
// until its routes are set up. A transition arrives twice if otad was stopped
// between the response and the removal from the outbox.
//
// Progress is posted at every multiple of 5 %, once, between transitions. Only
// the latest progress is posted, and none that is older than a transition.
type Callbacks struct {
	cfg  CallbackConfig
	post poster

	newTransition chan struct{} // holds a token when the outbox may have a new entry
	newProgress   chan struct{} // holds a token when pending was set

	mu      sync.Mutex
	job     jobState      // of the last Notify
	step    int           // progress of the last Notify, as a multiple of progressStep
	pending *callbackBody // progress that is to be posted

	// Owned by the goroutine of Run.
	lastPost  callbackBody // the last body that was posted, progress whether accepted or not
	postedSeq uint64       // Seq of the last outbox entry that was accepted
	failures  int          // tries in a row that failed; sets the next wait
	trouble   fsm.Distance // of the log lines of failures
	warned    int          // failures in a row, of transitions and progress
}

// jobState is the part of a snapshot that changes with a transition only.
type jobState struct {
	state         fsm.State
	stage         fsm.Stage
	version, name string
}

// NewCallbacks returns callbacks to the URL in c, or an error if the URL or the
// token is wrong. Nothing is posted before Run.
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
	post, err := newPoster(c.URL, c.Token, c.Timeout, c.transport())
	if err != nil {
		return nil, err
	}
	c.Log = c.Log.With("callback", netio.Redact(c.URL))
	return &Callbacks{
		cfg: c, post: post, newTransition: make(chan struct{}, 1), newProgress: make(chan struct{}, 1),
	}, nil
}

// Notify makes Run post what has changed in s. Call it after every transition,
// when its outbox entry is durable, and as often as there is progress. It does
// not block. It may be called from any goroutine, but the calls must come in
// the order of the snapshots.
func (c *Callbacks) Notify(s fsm.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	job := jobState{s.State, s.Stage, s.Version, s.Name}
	step := s.Progress / progressStep * progressStep
	if c.job != job {
		c.setPending(nil)
		signal(c.newTransition)
	}
	if s.State.Active() && step != c.step {
		c.setPending(&callbackBody{Stage: stageOf(s), Progress: step, Message: netio.Printable(s.Message)})
		signal(c.newProgress)
	}
	c.job, c.step = job, step
}

// setPending replaces the pending progress. The caller holds mu.
func (c *Callbacks) setPending(body *callbackBody) {
	if c.pending != nil {
		c.cfg.OnResult(ResultDropped)
	}
	c.pending = body
}

// signal puts a token into c unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
