package origintest

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
)

// Request is the record of one request and its response, up to the call of
// [Origin.Requests]. It is a copy and does not change.
type Request struct {
	N         int // number of the request, from 1
	Conn      int // number of its connection, from 1
	Method    string
	Target    string // as in the request line
	Host      string
	Header    http.Header
	Range     string
	IfMatch   string
	Status    int   // 0: cut before the status line
	Start     int64 // offset in the object of the body; -1: another body
	BodyBytes int64 // written so far, without those of Surplus
	Done      bool  // the response is over, complete or cut
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

// waiter is one call of Reached.
type waiter struct {
	bytes int64
	done  chan struct{} // closed when so many bytes have been served
}

// stretch is what one response wrote of one object.
type stretch struct {
	span
	tag     string // ETag of the object
	request int
}

// open records a new request.
func (r *record) open(conn int, req *http.Request) *Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := req.Header.Clone()
	entry := &Request{
		N: len(r.requests) + 1, Conn: conn, Method: req.Method,
		Target: req.RequestURI, Host: req.Host, Header: h,
		Range: h.Get("Range"), IfMatch: h.Get("If-Match"), Start: -1,
	}
	r.requests = append(r.requests, entry)
	return entry
}

// responded records the status line.
func (r *record) responded(entry *Request, resp *response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.Status = resp.status
	if resp.isObject {
		entry.Start = resp.start
	}
}

// writing records n bytes of a body that are about to be written. They are
// those of the object with this tag, from pos on; tag is empty for another
// body. If it were called after the write, a client that has just read the last
// byte could see a count that is too low.
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

// wrote subtracts the bytes that could not be written, and notifies waiters.
func (r *record) wrote(entry *Request, tag string, missing int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.BodyBytes -= missing
	if tag == "" {
		return
	}
	r.total -= missing
	for i, s := range slices.Backward(r.served) {
		if s.request == entry.N {
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

// Requests returns all requests so far, in the order of their arrival.
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

// BytesServed returns how many bytes of the object were written to connections.
// A client that was killed may have read fewer.
func (o *Origin) BytesServed() int64 {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	return o.record.total
}

// ServedTwice returns how many bytes of the object were written more than once.
// A byte that was written three times counts once. Bytes of different objects
// (see [Rule.Replace]) are different bytes.
func (o *Origin) ServedTwice() int64 {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	byTag := map[string][]span{}
	for _, s := range o.record.served {
		byTag[s.tag] = append(byTag[s.tag], s.span)
	}
	var n int64
	for _, spans := range byTag {
		n += overlap(spans)
	}
	return n
}

// overlap returns how many positions are in at least two of the spans. It
// visits their ends in order and counts how many spans are open.
func overlap(spans []span) int64 {
	type edge struct {
		pos  int64
		step int // +1 opens a span, -1 closes one
	}
	var edges []edge
	for _, s := range spans {
		edges = append(edges, edge{s.start, +1}, edge{s.end, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.pos, b.pos) })
	var n, from int64
	open := 0
	for _, e := range edges {
		if open >= 2 {
			n += e.pos - from
		}
		open, from = open+e.step, e.pos
	}
	return n
}

// Reached returns a channel that is closed when n bytes of the object have been
// served in all.
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
