package deviceapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
)

// outbox is an Outbox in memory.
type outbox struct {
	mu      sync.Mutex
	entries []journal.OutboxEntry
	seq     uint64
	job     journal.Job // the current one, of which every entry is
	err     error       // of Delivered, which then removes nothing
	empty   func()      // called once, after Pending has returned no entry
}

func (o *outbox) Pending() (entries []deviceapi.Transition) {
	o.mu.Lock()
	empty := o.empty
	for _, e := range o.entries {
		entries = append(entries, deviceapi.Transition{Entry: e, Job: o.job.Entry()})
	}
	if len(entries) > 0 {
		empty = nil
	} else {
		o.empty = nil
	}
	o.mu.Unlock()
	if empty != nil {
		empty()
	}
	return entries
}

func (o *outbox) Job() journal.EntryJob {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.job.Entry()
}

func (o *outbox) Delivered(seq uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	o.entries = slices.DeleteFunc(o.entries, func(n journal.OutboxEntry) bool { return n.Seq == seq })
	return nil
}

func (o *outbox) add(states ...fsm.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range states {
		o.seq++
		n := journal.OutboxEntry{Seq: o.seq, State: string(s), Message: "state " + string(s)}
		if s == fsm.Failed {
			n.Progress, n.Error = 37, "DOWNLOAD_FAILED: HTTP 404"
		}
		o.entries = append(o.entries, n)
	}
}

func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// receiver receives the posts, without a network.
type receiver struct {
	mu      sync.Mutex
	start   time.Time
	got     []string        // "stage progress" of each post
	at      []time.Duration // the time of each post since start
	respond func(n int, r *http.Request) (status int, err error)
}

func newReceiver() *receiver { return &receiver{start: time.Now()} }

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	var m struct {
		Stage    string
		Progress int
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.got = append(r.got, fmt.Sprintf("%s %d", m.Stage, m.Progress))
	r.at = append(r.at, time.Since(r.start))
	n, respond := len(r.got), r.respond
	r.mu.Unlock()
	status := 200
	if respond != nil {
		if status, err = respond(n, req); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: req}, nil
}

func (r *receiver) posts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) times() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.at)
}

func (r *receiver) setResponse(respond func(n int, r *http.Request) (int, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.respond = respond
}

// results counts the calls of OnResult.
type results struct {
	mu sync.Mutex
	n  map[string]int
}

func (r *results) add(result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == nil {
		r.n = map[string]int{}
	}
	r.n[result]++
}

func (r *results) of(result string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n[result]
}

type rig struct {
	*deviceapi.Callbacks
	box     *outbox
	to      *receiver
	results results
	queue   atomic.Int64 // of the last call of OnQueue
}

func newRig(t *testing.T, box *outbox, to *receiver) *rig {
	t.Helper()
	rg := &rig{box: box, to: to}
	c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{
		URL: "http://127.0.0.1:8080/ota", Outbox: box, Transport: to, Log: quiet(),
		OnResult: rg.results.add, OnQueue: func(n int) { rg.queue.Store(int64(n)) },
		Rand: func() float64 { return 0.5 }, // no spread
	})
	if err != nil {
		t.Fatal(err)
	}
	rg.Callbacks = c
	return rg
}

// bubble runs f in a bubble of virtual time, while Run runs.
func bubble(t *testing.T, f func(t *testing.T, rg *rig)) {
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, &outbox{}, newReceiver())
		stop := rg.run(t)
		f(t, rg)
		stop()
	})
}

// run starts Run and returns a function that ends it.
func (rg *rig) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rg.Run(ctx) }()
	synctest.Wait()
	return func() {
		t.Helper()
		start := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Run ended %v after its context", took)
		}
	}
}

// transit makes a transition in the order of the state machine: durable first.
func (rg *rig) transit(s fsm.Snapshot) {
	rg.box.add(s.State)
	rg.Notify(s)
	synctest.Wait()
}

func downloading(progress int) fsm.Snapshot {
	return fsm.Snapshot{State: fsm.Downloading, Version: "1.2.3", Name: "u.zip", Progress: progress, Message: "Downloading"}
}

func state(s fsm.State) fsm.Snapshot { return fsm.Snapshot{State: s, Version: "1.2.3", Name: "u.zip"} }

func wantPosts(t *testing.T, to *receiver, want ...string) {
	t.Helper()
	if got := to.posts(); !slices.Equal(got, want) {
		t.Errorf("posts %q, want %q", got, want)
	}
}
