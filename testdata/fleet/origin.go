package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// request is one request that reached the origin.
type request struct {
	at     time.Duration // from the start of the rig
	board  string
	failed bool
}

// origin serves one package by ranges, and fails when it is told to: it resets
// what is under way and answers 503. Its methods may be called from any goroutine.
type origin struct {
	content []byte
	pace    int64 // bytes a second and answer, until the first failure
	start   time.Time
	server  *http.Server
	addr    string

	mu       sync.Mutex // guards the fields below
	failing  bool
	unpaced  bool // since the first failure
	requests []request
	sent     int64
	open     map[net.Conn]struct{}
}

func newOrigin(content []byte, pace int64, start time.Time) (*origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{content: content, pace: pace, start: start, addr: l.Addr().String(), open: map[net.Conn]struct{}{}}
	o.server = &http.Server{Handler: o, ConnState: o.note}
	go func() { _ = o.server.Serve(l) }() // ends with Close
	return o, nil
}

// note keeps the connections that are open.
func (o *origin) note(c net.Conn, state http.ConnState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch state {
	case http.StateNew:
		o.open[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(o.open, c)
	}
}

// fail breaks every connection off and answers 503 from now on.
func (o *origin) fail() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failing, o.unpaced = true, true
	for c := range o.open {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset
		_ = c.Close()
	}
}

// recover serves again, at full speed.
func (o *origin) recover() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failing = false
}

// seen returns the requests until now, and how many bytes were sent.
func (o *origin) seen() ([]request, int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]request(nil), o.requests...), o.sent
}

func (o *origin) begin(board string) (failing bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = append(o.requests, request{time.Since(o.start), board, o.failing})
	return o.failing
}

// ServeHTTP implements [http.Handler]. The path is the board's.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if o.begin(r.URL.Path) {
		http.Error(w, "out of service", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("ETag", `"fleet"`)
	http.ServeContent(w, r, "", time.Time{}, &pacedContent{bytes.NewReader(o.content), o, r.Context()})
}

// pacedContent is the package, as slow as the origin says.
type pacedContent struct {
	content *bytes.Reader // read by ServeContent alone
	origin  *origin
	ctx     context.Context
}

// Seek implements [io.Seeker].
func (p *pacedContent) Seek(offset int64, whence int) (int64, error) {
	return p.content.Seek(offset, whence)
}

// Read implements [io.Reader].
func (p *pacedContent) Read(b []byte) (int, error) {
	p.origin.mu.Lock()
	unpaced := p.origin.unpaced
	p.origin.mu.Unlock()
	if !unpaced {
		b = b[:min(int64(len(b)), p.origin.pace/4)]
		select {
		case <-time.After(time.Second / 4):
		case <-p.ctx.Done():
			return 0, fmt.Errorf("the board has gone: %w", io.ErrUnexpectedEOF)
		}
	}
	n, err := p.content.Read(b)
	p.origin.mu.Lock()
	p.origin.sent += int64(n)
	p.origin.mu.Unlock()
	return n, err
}
