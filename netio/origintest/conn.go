package origintest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// conn is one connection. One goroutine reads requests, and so notices at once
// when the client closes, also during a response; another one (serve) writes
// the responses.
type conn struct {
	o      *Origin
	number int
	raw    net.Conn // below TLS
	net.Conn

	sent         int64 // bytes written; used by serve
	resetPending bool  // reset after this write; used by serve

	done     chan struct{} // closed when either side has ended the connection
	doneOnce sync.Once
}

// serve runs the connection until its end.
func (c *conn) serve() {
	defer c.o.removeConn(c)
	defer c.end()
	if !c.handshake() {
		return
	}
	requests := make(chan *http.Request)
	c.o.tasks.Go(func() { c.read(requests) })
	for {
		select {
		case req := <-requests:
			if !c.respond(req) {
				// This sends close_notify, which a TLS client expects after
				// a body without a length.
				c.Conn.Close()
				return
			}
		case <-c.done:
			return
		}
	}
}

// handshake does what precedes the first request. It returns false if the
// connection is over.
func (c *conn) handshake() bool {
	if c.number <= c.o.config.CutConnections {
		c.raw.Read(make([]byte, 1)) // wait for the client's first byte
		return false
	}
	if c.o.certs == nil {
		return true
	}
	secure := tls.Server(c.raw, c.o.certs.server)
	c.Conn = secure
	return secure.Handshake() == nil
}

// read parses requests until the client closes the connection.
func (c *conn) read(requests chan<- *http.Request) {
	defer c.end()
	source := &endWatcher{Reader: c.Conn}
	in := bufio.NewReader(source)
	for {
		req, err := http.ReadRequest(in)
		if err == nil {
			_, err = io.Copy(io.Discard, req.Body)
		}
		if err != nil {
			// A client that died in the middle of a request is no misuse.
			c.o.report(Malformed, !source.ended, 0, "malformed: "+err.Error())
			return
		}
		select {
		case requests <- req:
		case <-c.done:
			return
		}
	}
}

// endWatcher notes the end of its reader.
type endWatcher struct {
	io.Reader
	ended bool
}

func (w *endWatcher) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.ended = w.ended || err != nil
	return n, err
}

// respond handles one request and reports whether the connection can be used
// for another.
func (c *conn) respond(req *http.Request) bool {
	o := c.o
	entry := o.record.open(c.number, req)
	defer o.record.done(entry)
	o.inspect(entry.N, req)
	o.waitAlone(c, entry.N)
	p := o.plan(entry.N, req.URL.Path)
	if p.downFor > 0 {
		o.Down() // before the client can notice and connect again
		defer o.upAfter(p.downFor)
	}
	d := &delivery{c: c, p: p, entry: entry}
	if !c.pause(o.config.Link.Latency+p.headerDelay) || !d.early() {
		return false
	}
	d.r = p.response(req)
	o.record.responded(entry, d.r)
	complete := d.run()
	if c.resetPending {
		c.abort()
	}
	return complete && !req.Close && p.framing != untilClose &&
		!p.closeAnnounced && !p.closeSilent && p.surplus == 0 && p.downFor == 0
}

// pause waits for d. It returns false if the connection or the origin ended.
func (c *conn) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.done:
	case <-c.o.closing:
	}
	return false
}

// end closes the connection below TLS, so without close_notify. It may be
// called from any goroutine and more than once.
func (c *conn) end() {
	c.raw.Close()
	c.doneOnce.Do(func() { close(c.done) })
}

// abort ends the connection with a reset instead of a FIN.
func (c *conn) abort() {
	switch raw := c.raw.(type) {
	case *net.TCPConn:
		drain(raw, c.done)
		raw.SetLinger(0)
	case *readAhead:
		raw.reset()
	}
	c.end()
}

// drain waits until the peer's kernel has acknowledged all bytes written:
// otherwise the reset would discard bytes, and tests count every byte. It gives
// up when the connection ends, or after 2 s with a client that does not read.
func drain(c *net.TCPConn, done <-chan struct{}) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for range 2000 {
		if unsent(raw) == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-done:
			return
		}
	}
}

// unsent returns the number of bytes in the send queue (SIOCOUTQ, tcp(7)), or 0
// if it cannot be determined.
func unsent(raw syscall.RawConn) int {
	var queued int32
	err := raw.Control(func(fd uintptr) {
		syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ,
			uintptr(unsafe.Pointer(&queued)))
	})
	if err != nil {
		return 0
	}
	return int(queued)
}
