// Package origintest is an HTTP origin for tests, in the manner of net/http/httptest: it serves one [Object] over HTTP/1.1, correctly and
// strictly (ranges, If-Match, If-Range and 416 as RFC 9110 has them), unless a script of [Rule] values makes it misbehave. It writes its answers
// byte by byte over the connection, so that it can do what net/http would not: lie about lengths, stop in the middle, reset.
//
//	origin := origintest.New(t, origintest.Object{Size: 8 << 20},
//		origintest.On(1).ResetAt(3<<20),
//		origintest.On(2).Status(503).RetryAfter("2"))
//	download(origin.URL())
//	if n := origin.ServedTwice(); n > 1<<20 { ... }
//
// It also watches its client: what a downloader of pre-signed URLs must not do (see [Misuse]) is reported to the test.
//
// Content, answers and cuts depend on nothing but the script and the requests, never on timing. In memory ([Config.InMemory], dialled with
// [Origin.Dial]) it works inside a testing/synctest bubble, where its delays cost no time; make it inside the bubble.
package origintest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// TB is the part of testing.TB that an origin needs; it is here so that programs outside tests do not link package testing.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// Config says what origin to start. The zero value serves an empty object on a free port of 127.0.0.1.
type Config struct {
	Object         Object
	Script         []*Rule
	Link           Link
	TLS            *TLS // nil: plain http
	Allow          Misuse
	CutConnections int          // so many connections, the first ones, are closed at the client's first byte: handshakes cut short
	Listener       net.Listener // nil: a new one; the origin closes it
	InMemory       bool         // no sockets: only Dial reaches the origin
	Dir            string       // where PEM files go; empty: a temporary directory, removed by Close
}

// Origin is a running origin. Its methods may be called from any goroutine.
type Origin struct {
	config  Config
	tb      TB // nil outside tests
	addr    string
	certs   *certificates // nil without TLS
	record  record
	pacer   pacer
	stalled chan int
	closing chan struct{}
	tasks   sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while down
	conns    map[*conn]struct{}
	accepted int
	released chan struct{} // replaced at each Release
	closed   bool
}

// New starts an origin on a free port of 127.0.0.1 and closes it at the end of the test.
func New(tb TB, object Object, script ...*Rule) *Origin {
	tb.Helper()
	return NewConfig(tb, Config{Object: object, Script: script})
}

// NewConfig is like New for an origin that needs more to be said.
func NewConfig(tb TB, config Config) *Origin {
	tb.Helper()
	if config.Dir == "" && config.TLS != nil {
		config.Dir = tb.TempDir()
	}
	o, err := start(tb, config)
	if err != nil {
		tb.Fatalf("start origin: %v", err)
	}
	tb.Cleanup(o.Close)
	return o
}

// Start starts an origin outside a test. The caller closes it and looks at Misuses by itself.
func Start(config Config) (*Origin, error) { return start(nil, config) }

func start(tb TB, config Config) (*Origin, error) {
	o := &Origin{
		config: config, tb: tb, pacer: pacer{rate: config.Link.BytesPerSecond}, stalled: make(chan int, 64), closing: make(chan struct{}),
		conns: map[*conn]struct{}{}, released: make(chan struct{}),
	}
	if config.TLS != nil {
		certs, err := newCertificates(*config.TLS, config.Dir)
		if err != nil {
			return nil, err
		}
		o.certs = certs
	}
	o.addr = "127.0.0.1:0"
	if config.Listener != nil {
		o.addr = config.Listener.Addr().String()
	}
	if err := o.up(config.Listener); err != nil {
		o.certs.remove()
		return nil, err
	}
	return o, nil
}

// Close ends every connection and waits for all goroutines of the origin. After it the record is final. It may be called more than once.
func (o *Origin) Close() {
	o.Down()
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.closing)
	}
	for c := range o.conns {
		c.end()
	}
	o.mu.Unlock()
	o.tasks.Wait()
	o.certs.remove()
}

// URL returns the URL of the object. The origin serves it under every other path too.
func (o *Origin) URL() string { return o.URLFor("/package.bin") }

// URLFor returns the URL for a path, which may carry a query.
func (o *Origin) URLFor(path string) string {
	scheme := "http"
	if o.certs != nil {
		scheme = "https"
	}
	if o.config.InMemory {
		return scheme + "://127.0.0.1" + path
	}
	return scheme + "://" + o.addr + path
}

// Dial connects to the origin whatever addr is; it fits netio's Config.Dial and http.Transport's DialContext.
func (o *Origin) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if !o.config.InMemory {
		return new(net.Dialer).DialContext(ctx, "tcp", o.addr)
	}
	o.mu.Lock()
	l, _ := o.listener.(*memoryListener)
	o.mu.Unlock()
	if l == nil {
		return nil, tcpError("dial", syscall.ECONNREFUSED)
	}
	return l.dial(ctx)
}

// Down refuses new connections until Up; those that have been accepted stay. (Over TCP a client can be connected before it is accepted; it is
// reset.)
func (o *Origin) Down() {
	o.mu.Lock()
	l := o.listener
	o.listener = nil
	o.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

// Up accepts connections again, at the same address.
func (o *Origin) Up() error { return o.up(nil) }

// up accepts connections from l, or from a new listener when l is nil.
func (o *Origin) up(l net.Listener) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.listener != nil {
		return nil
	}
	switch {
	case l != nil:
	case o.config.InMemory:
		l = newMemoryListener()
	default:
		var err error
		if l, err = net.Listen("tcp", o.addr); err != nil {
			return fmt.Errorf("origintest: %w", err)
		}
		o.addr = l.Addr().String()
	}
	o.listener = l
	o.tasks.Go(func() { o.accept(l) })
	return nil
}

// upAfter ends a downtime.
func (o *Origin) upAfter(d time.Duration) {
	o.tasks.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-o.closing:
			return
		}
		if err := o.Up(); err != nil && o.tb != nil {
			o.tb.Errorf("%v", err)
		}
	})
}

func (o *Origin) accept(l net.Listener) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return // closed by Down or Close
		}
		o.adopt(raw)
	}
}

func (o *Origin) adopt(raw net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		raw.Close()
		return
	}
	if m, ok := raw.(*memoryConn); ok {
		ahead := newReadAhead(m)
		o.tasks.Go(ahead.run)
		raw = ahead
	}
	o.accepted++
	c := &conn{o: o, number: o.accepted, raw: raw, Conn: raw, gone: make(chan struct{})}
	o.conns[c] = struct{}{}
	o.tasks.Go(c.serve)
}

func (o *Origin) forget(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
}
