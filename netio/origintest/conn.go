package origintest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// conn is one connection: a reader that parses requests and notices the client's end at once, also in the middle of an answer, and a writer
// that answers them one after the other.
type conn struct {
	o      *Origin
	number int
	raw    net.Conn // below TLS
	net.Conn
	sent     int64         // bytes written; of the writer
	doomed   bool          // the link is to reset the connection; of the writer
	gone     chan struct{} // closed when the connection is over, by whichever side
	goneOnce sync.Once
}

// serve runs the connection until its end.
func (c *conn) serve() {
	defer c.o.forget(c)
	defer c.end()
	if !c.greet() {
		return
	}
	requests := make(chan *http.Request)
	c.o.tasks.Go(func() { c.read(requests) })
	for {
		select {
		case req := <-requests:
			if !c.answer(req) {
				c.Conn.Close() // with close_notify, which ends a body that has no length
				return
			}
		case <-c.gone:
			return
		}
	}
}

// greet does what comes before the first request: the cut or the handshake.
func (c *conn) greet() bool {
	if c.number <= c.o.config.CutConnections {
		c.raw.Read(make([]byte, 1)) // the client has begun, or is gone
		return false
	}
	if c.o.certs == nil {
		return true
	}
	secure := tls.Server(c.raw, c.o.certs.server)
	c.Conn = secure
	return secure.Handshake() == nil
}

// read parses requests until the client is gone.
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
			c.o.accuse(Malformed, !source.ended, 0, "malformed: "+err.Error())
			return
		}
		select {
		case requests <- req:
		case <-c.gone:
			return
		}
	}
}

// endWatcher tells a client that went away in the middle of a request from one that wrote nonsense.
type endWatcher struct {
	io.Reader
	ended bool
}

func (w *endWatcher) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.ended = w.ended || err != nil
	return n, err
}

// answer treats one request and reports whether the connection can be used again.
func (c *conn) answer(req *http.Request) bool {
	o := c.o
	entry := o.record.open(c.number, req)
	defer o.record.done(entry)
	o.inspect(entry.N, req)
	o.alone(c, entry.N)
	p := o.plan(entry.N, req.URL.Path)
	if p.downFor > 0 {
		o.Down() // before the client can know that it has to connect again
		defer o.upAfter(p.downFor)
	}
	d := &delivery{c: c, p: p, entry: entry}
	if !c.pause(o.config.Link.Latency+p.headerDelay) || !d.early() {
		return false
	}
	d.a = p.answer(req)
	o.record.answered(entry, d.a)
	whole := d.run()
	if c.doomed {
		c.abort()
	}
	return whole && !req.Close && p.framing != untilClose && !p.closeSaid && !p.closeSilent && p.surplus == 0 && p.downFor == 0
}

// pause waits for d, or returns false because the connection or the origin came to its end.
func (c *conn) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.gone:
	case <-c.o.closing:
	}
	return false
}

// end closes the connection as it is, without a word of TLS. Any goroutine may call it, more than once.
func (c *conn) end() {
	c.raw.Close()
	c.goneOnce.Do(func() { close(c.gone) })
}

// abort ends the connection with a reset instead of a FIN.
func (c *conn) abort() {
	switch raw := c.raw.(type) {
	case *net.TCPConn:
		drain(raw, c.gone)
		raw.SetLinger(0)
	case *readAhead:
		raw.reset()
	}
	c.end()
}
