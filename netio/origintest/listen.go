package origintest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Down refuses new connections until Up. Accepted connections stay open. Over
// TCP, a connection that is established but not yet accepted is reset.
func (o *Origin) Down() {
	o.mu.Lock()
	l := o.listener
	o.listener = nil
	o.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

// Up accepts connections again, at the same address. It fails if the address is
// in use.
func (o *Origin) Up() error { return o.up(nil) }

// up accepts connections from l, or from a new listener if l is nil.
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

// upAfter calls Up after d.
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
		o.addConn(raw)
	}
}

func (o *Origin) addConn(raw net.Conn) {
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
	c := &conn{o: o, number: o.accepted, raw: raw, Conn: raw, done: make(chan struct{})}
	o.conns[c] = struct{}{}
	o.tasks.Go(c.serve)
}

func (o *Origin) removeConn(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
}

// memoryListener is a listener whose connections are pipes in memory.
type memoryListener struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memoryListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
}

func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	wasReset := new(atomic.Bool)
	select {
	case l.accepted <- &memoryConn{server, wasReset}:
		return &memoryConn{client, wasReset}, nil
	case <-l.closed:
		return nil, tcpError("dial", syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
}

// memoryConn is one end of a pipe. Like a TCP connection it can be reset.
type memoryConn struct {
	net.Conn
	wasReset *atomic.Bool // shared by both ends
}

func (c *memoryConn) reset() { c.wasReset.Store(true) }

func (c *memoryConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF && c.wasReset.Load() {
		err = tcpError("read", syscall.ECONNRESET)
	}
	return n, err
}

// readAhead is the origin's end of a memory connection. Like a kernel it
// receives what the client writes without waiting for a Read. Over a bare pipe,
// a TLS client that refuses the certificate and a server that is still sending
// it would wait for each other forever.
type readAhead struct {
	*memoryConn
	pieces chan []byte
	rest   []byte // of the last piece
	closed chan struct{}
	once   sync.Once
}

func newReadAhead(c *memoryConn) *readAhead {
	return &readAhead{
		memoryConn: c, pieces: make(chan []byte, 64), closed: make(chan struct{}),
	}
}

// run receives bytes until one of the ends is closed.
func (r *readAhead) run() {
	defer close(r.pieces)
	for {
		piece := make([]byte, 4096)
		n, err := r.memoryConn.Read(piece)
		if err != nil {
			return
		}
		select {
		case r.pieces <- piece[:n]:
		case <-r.closed:
			return
		}
	}
}

// Read must be called by one goroutine at a time.
func (r *readAhead) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		piece, open := <-r.pieces
		if !open {
			return 0, io.EOF
		}
		r.rest = piece
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *readAhead) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.memoryConn.Close()
}

// tcpError returns the error of package net for a failed operation on a TCP
// socket.
func tcpError(op string, errno syscall.Errno) error {
	call := op
	if op == "dial" {
		call = "connect"
	}
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(call, errno)}
}
