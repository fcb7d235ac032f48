package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"otad/fsm"
	"otad/netio"
)

// body is what a Source gives.
type body = fsm.Body

// checkedSource is the real fetcher. It notes what is asked and when.
type checkedSource struct {
	fsm.Source
	p *process
}

func (s checkedSource) Open(ctx context.Context, r netio.Request) (body, error) {
	var size int64
	if st, err := os.Stat(s.p.rig.path(s.p.journal.Record().Job.Name + ".otad-part")); err == nil {
		size = st.Size()
	}
	v := s.p.invariants
	v.mu.Lock()
	v.asked = append(v.asked, openedRequest{Request: r, at: time.Now(), read: v.read, size: size})
	v.mu.Unlock()
	return v.openChecked(ctx, s.Source, r)
}

// errorLog writes down every error of the network, with what it wraps.
type errorLog struct {
	fsm.Source
	to io.Writer
}

func (l errorLog) Open(ctx context.Context, r netio.Request) (body, error) {
	b, err := l.Source.Open(ctx, r)
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		fmt.Fprintf(l.to, "error %v\n", cause)
	}
	return b, err
}

// retryCount counts the requests without progress: the first one, the retries,
// and one more each time the job started over, which it does at most once for
// each reason. An origin that answers at every retry as one without ranges and
// lengths is believed once in a process: the retries are allowed once more.
type retryCount struct {
	fsm.Source
	c       *randomCase
	retries int
	url     string
	mark    int64 // offset at which the count began
	count   int
	over    int  // times started over
	mixed   bool // one of them because joined bytes did not match the digest

	insisted int  // answers in a row that would be believed
	believed bool // they were
}

func (p *retryCount) Open(ctx context.Context, r netio.Request) (body, error) {
	if p.url != r.URL { // another post
		p.url, p.mark, p.count, p.over, p.mixed = r.URL, r.Offset, 0, 0, false
		p.insisted, p.believed = 0, false
	}
	if r.Offset-p.mark >= p.c.interval {
		p.mark, p.count = r.Offset, 0
	}
	if rec := p.c.rig.process.journal.Record(); rec.Mismatched > 0 && !p.mixed {
		p.mixed, p.over, p.mark = true, p.over+1, 0
	}
	if p.insisted >= max(1, p.retries) && !p.believed && r.Offset == 0 {
		p.believed, p.mark, p.count = true, 0, 0
	}
	if p.count++; p.count > 1+p.retries+p.over {
		p.c.t.Errorf("request %d in a row without progress, from byte %d, with %d retries", p.count, r.Offset, p.retries)
	}
	b, err := p.Source.Open(ctx, r)
	insisted := p.insisted
	p.insisted = 0
	if f, ok := err.(*netio.Error); ok {
		switch f.Kind {
		case netio.NotPackage:
			if f.Insist {
				p.insisted = insisted + 1
			}
		case netio.Changed, netio.Unsatisfiable:
			p.over++
			p.mark = 0 // from here on it is another object's progress
		case netio.Offline, netio.NoClock:
			p.count--
		}
	}
	return b, err
}
