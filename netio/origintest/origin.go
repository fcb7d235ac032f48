// Package origintest provides an HTTP server for tests of downloads, in the
// manner of net/http/httptest. An [Origin] serves one [Object] over HTTP/1.1,
// with ranges, preconditions and 416 as specified by RFC 9110, unless a script
// of [Rule] values makes it misbehave. It writes its responses byte by byte, so
// that it can do what net/http cannot: announce a wrong length, stop in the
// middle, reset the connection.
//
// # Use
//
// [New] starts an origin for one test and closes it at the end. Fetch
// [Origin.URL]; then compare [Origin.Requests], [Origin.BytesServed] and
// [Origin.ServedTwice] with what the client should have done. [NewConfig] also
// offers TLS, a slow [Link] and connections in memory. [Start] is for programs
// that are no tests.
//
// The origin checks its client too. It reports to the test what a downloader of
// signed URLs must not do: see [Misuse].
//
// # Determinism
//
// Content, responses and cuts depend only on the script and the requests, never
// on timing. With [Config].InMemory and [Origin.Dial] the origin works in a
// testing/synctest bubble, where its delays take no time. Make it inside the
// bubble.
package origintest

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// TB is the part of testing.TB that an origin uses. With it, programs that use
// [Start] do not link package testing.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// Config is the argument of [NewConfig] and [Start]. With the zero value the
// origin serves an empty object on a free port of 127.0.0.1.
type Config struct {
	Object Object
	Script []*Rule
	Link   Link
	TLS    *TLS   // nil: plain http
	Allow  Misuse // not reported

	// CutConnections is how many connections, the first ones, are closed after
	// the client's first byte. With TLS this is in the middle of the handshake.
	CutConnections int
	// Listener is closed by the origin. Nil: a new one.
	Listener net.Listener
	// InMemory means no sockets: clients connect through Dial.
	InMemory bool
	// Dir is where the PEM files are written. Empty: a temporary directory,
	// which Close removes.
	Dir string
}

// Origin is a running server. Its methods may be called from any goroutine.
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
	released chan struct{} // replaced by each Release
	closed   bool
}

// New starts an origin on a free port of 127.0.0.1 and closes it at the end of
// the test.
func New(tb TB, object Object, script ...*Rule) *Origin {
	tb.Helper()
	return NewConfig(tb, Config{Object: object, Script: script})
}

// NewConfig is like New, with all options.
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

// Start starts an origin outside a test. The caller must close it, and check
// Misuses.
func Start(config Config) (*Origin, error) { return start(nil, config) }

func start(tb TB, config Config) (*Origin, error) {
	o := &Origin{
		config: config, tb: tb, addr: "127.0.0.1:0",
		pacer:   pacer{rate: config.Link.BytesPerSecond},
		stalled: make(chan int, 64), closing: make(chan struct{}),
		conns: map[*conn]struct{}{}, released: make(chan struct{}),
	}
	if config.TLS != nil {
		certs, err := newCertificates(*config.TLS, config.Dir)
		if err != nil {
			return nil, err
		}
		o.certs = certs
	}
	if config.Listener != nil {
		o.addr = config.Listener.Addr().String()
	}
	if err := o.up(config.Listener); err != nil {
		o.certs.remove()
		return nil, err
	}
	return o, nil
}

// Close ends every connection and waits for all goroutines of the origin. After
// it, the results of Requests, BytesServed, ServedTwice and Misuses are final.
// It may be called more than once.
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

// URL returns the URL of the object. The origin also serves the object under
// every other path.
func (o *Origin) URL() string { return o.URLFor("/package.bin") }

// URLFor returns the URL for a path, which may have a query.
func (o *Origin) URLFor(path string) string {
	scheme, host := "http", o.addr
	if o.certs != nil {
		scheme = "https"
	}
	if o.config.InMemory {
		host = "127.0.0.1"
	}
	return scheme + "://" + host + path
}

// Dial connects to the origin; it ignores network and address. It can be used
// as Dial of netio.Config and as DialContext of http.Transport.
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
