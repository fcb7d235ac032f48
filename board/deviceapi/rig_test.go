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

// outbox is the journal's, in memory.
type outbox struct {
	mu      sync.Mutex
	notices []journal.OutboxEntry
	seq     uint64
	err     error  // what Delivered answers, instead of taking the notice out
	empty   func() // what happens right after Pending saw nothing, once
}

func (o *outbox) Pending() []journal.OutboxEntry {
	o.mu.Lock()
	waiting, empty := slices.Clone(o.notices), o.empty
	if len(waiting) > 0 {
		empty = nil
	} else {
		o.empty = nil
	}
	o.mu.Unlock()
	if empty != nil {
		empty()
	}
	return waiting
}

func (o *outbox) Delivered(seq uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	o.notices = slices.DeleteFunc(o.notices, func(n journal.OutboxEntry) bool { return n.Seq == seq })
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
		o.notices = append(o.notices, n)
	}
}

func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// receiver is the device-api at the other end, without a network between.
type receiver struct {
	mu     sync.Mutex
	start  time.Time
	got    []string        // "stage progress" of each post
	at     []time.Duration // when each came
	answer func(n int, r *http.Request) (status int, err error)
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
	n, answer := len(r.got), r.answer
	r.mu.Unlock()
	status := 200
	if answer != nil {
		if status, err = answer(n, req); err != nil {
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

func (r *receiver) respond(answer func(n int, r *http.Request) (int, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// results counts what OnResult was told.
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
	queue   atomic.Int64 // what OnQueue was told last
}

func newRig(t *testing.T, box *outbox, to *receiver) *rig {
	t.Helper()
	rg := &rig{box: box, to: to}
	c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{
		URL: "http://127.0.0.1:8080/ota", Outbox: box, Transport: to, Log: quiet(),
		OnResult: rg.results.add, OnQueue: func(n int) { rg.queue.Store(int64(n)) },
		Rand: func() float64 { return 0.5 }, // the middle: waits are what they are named
	})
	if err != nil {
		t.Fatal(err)
	}
	rg.Callbacks = c
	return rg
}

// bubble runs f with callbacks that deliver, in a bubble of virtual time.
func bubble(t *testing.T, f func(t *testing.T, rg *rig)) {
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, &outbox{}, newReceiver())
		stop := rg.run(t)
		f(t, rg)
		stop()
	})
}

// run starts Run and returns what ends it.
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
			t.Errorf("Run ended %v after it was told to", took)
		}
	}
}

// transit makes a transition the way the machine does: durable first.
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
