package origintest

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// memoryListener hands the server's end of a pipe to the origin, so that no socket and no system call stands between it and its client.
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

func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 0} }

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

// memoryConn is one end of a pipe that can be reset as TCP can.
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

// readAhead is the origin's end of a memory connection: it takes in what the client writes without waiting for a Read, as a kernel would. Over a
// bare pipe a TLS client that refuses the certificate and the server that is still sending it would wait for each other for ever.
type readAhead struct {
	*memoryConn
	pieces chan []byte
	rest   []byte // of the last piece
	closed chan struct{}
	once   sync.Once
}

func newReadAhead(c *memoryConn) *readAhead {
	return &readAhead{memoryConn: c, pieces: make(chan []byte, 64), closed: make(chan struct{})}
}

// run takes in bytes until either end closes.
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

// Read is called by one goroutine at a time.
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

// tcpError is what package net returns when the system call of that name fails on a TCP socket.
func tcpError(op string, errno syscall.Errno) error {
	call := op
	if op == "dial" {
		call = "connect"
	}
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(call, errno)}
}
