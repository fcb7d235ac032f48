package origintest

import (
	"net/http"
	"slices"
	"sync"
)

// Request is what the origin saw and did for one request. It is a copy; nothing in it changes any more.
type Request struct {
	N         int // 1 for the first one
	Conn      int // number of the connection it came on, from 1
	Method    string
	Target    string // as in the request line
	Host      string
	Header    http.Header
	Range     string
	IfMatch   string
	Status    int   // 0: cut before the status line
	Start     int64 // position in the object of the body's first byte; -1 when the body was not the object's
	BodyBytes int64 // bytes of the body written to the socket so far, surplus not counted
	Done      bool  // the answer is over, complete or cut
}

// record keeps every request of an origin.
type record struct {
	mu       sync.Mutex
	requests []*Request
	served   []stretch
	total    int64
	waiting  []waiter
	misuses  []string
}

// waiter is told when the origin has served so many bytes.
type waiter struct {
	bytes int64
	done  chan struct{}
}

// open notes a request.
func (r *record) open(conn int, req *http.Request) *Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := &Request{
		N: len(r.requests) + 1, Conn: conn, Method: req.Method, Target: req.RequestURI, Host: req.Host, Header: req.Header.Clone(),
		Range: req.Header.Get("Range"), IfMatch: req.Header.Get("If-Match"), Start: -1,
	}
	r.requests = append(r.requests, entry)
	return entry
}

// answered notes what the status line of an answer said.
func (r *record) answered(entry *Request, a *answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.Status = a.status
	if a.object {
		entry.Start = a.start
	}
}

// writing notes n bytes of an answer's body that are about to be written: of the object with this tag, from pos on, unless tag is empty. Noted
// afterwards, a client that has just read the last byte could find the count short.
func (r *record) writing(entry *Request, tag string, pos, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.BodyBytes += n
	if tag == "" {
		return
	}
	r.total += n
	if last := len(r.served) - 1; last >= 0 && r.served[last].request == entry.N {
		r.served[last].end = pos + n
	} else {
		r.served = append(r.served, stretch{span{pos, pos + n}, tag, entry.N})
	}
}

// wrote corrects the note by the bytes that did not go out, and tells those who wait.
func (r *record) wrote(entry *Request, tag string, missing int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.BodyBytes -= missing
	if tag == "" {
		return
	}
	r.total -= missing
	for i := len(r.served) - 1; i >= 0; i-- {
		if r.served[i].request == entry.N {
			r.served[i].end -= missing
			break
		}
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(w waiter) bool {
		reached := r.total >= w.bytes
		if reached {
			close(w.done)
		}
		return reached
	})
}

func (r *record) done(entry *Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.Done = true
}

// Requests returns every request seen so far, in the order of their arrival. Any goroutine may call it.
func (o *Origin) Requests() []Request {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	all := make([]Request, 0, len(o.record.requests))
	for _, entry := range o.record.requests {
		c := *entry
		c.Header = entry.Header.Clone()
		all = append(all, c)
	}
	return all
}

// BytesServed returns how many bytes of the object have been written to sockets; a client that died has not read them all.
func (o *Origin) BytesServed() int64 {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	return o.record.total
}

// ServedTwice returns how many bytes of the object were written to a socket more than once. Positions count, not occasions: a byte written
// three times counts once. Bytes of different objects (see [Rule.Replace]) are different bytes.
func (o *Origin) ServedTwice() int64 {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	return twice(o.record.served)
}

// Reached returns a channel that is closed as soon as n bytes of the object have been served in all.
func (o *Origin) Reached(n int64) <-chan struct{} {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	w := waiter{n, make(chan struct{})}
	if o.record.total >= n {
		close(w.done)
	} else {
		o.record.waiting = append(o.record.waiting, w)
	}
	return w.done
}
