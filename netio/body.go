package netio

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Body reads the object from Offset to its end. Read and Close belong to one
// goroutine; to interrupt a Read from another, cancel the context that was
// given to Open.
type Body struct {
	BodyInfo

	fetcher *Fetcher
	x       *exchange
	src     io.ReadCloser
	stall   *time.Timer   // cancels x; runs only during a read of src
	waited  time.Duration // in reads of src, for window bytes; see tooSlow
	window  int64
	next    int64 // offset in the object of the next byte of src
	end     int64 // offset in the object where src is announced to end
	owed    int   // bytes read but not yet charged to the rate limiter
	drained bool  // src has ended
	err     error // returned by all further calls of Read

	received, discarded atomic.Int64
}

// BodyInfo describes the response that a Body is read from. It does not change
// after Open.
type BodyInfo struct {
	// Offset is where the first byte that Read returns is in the object:
	// Request.Offset, or 0 if RangeIgnored.
	Offset    int64
	Size      int64     // of the whole object, in bytes
	Validator Validator // of the object; store it with the bytes
	Status    int       // 206 or 200
	// RangeIgnored reports that the origin ignored the range and sends the
	// whole object. Discard the bytes stored before and start over.
	RangeIgnored bool
}

// Info returns the description of the response.
func (b *Body) Info() BodyInfo { return b.BodyInfo }

func (f *Fetcher) newBody(x *exchange, resp *http.Response, r Request, p part) *Body {
	b := &Body{
		BodyInfo: BodyInfo{Offset: r.Offset, Size: p.size, Validator: p.validator, Status: resp.StatusCode},
		fetcher:  f, x: x, src: resp.Body, next: p.start, end: p.end,
	}
	if p.rangeIgnored {
		b.Offset, b.RangeIgnored = 0, true
	}
	b.stall = time.AfterFunc(f.cfg.ReadTimeout, func() {
		x.cancel(&Error{
			Kind: Transient, Reason: ReasonStall, Status: b.Status,
			Detail: "no byte for " + f.cfg.ReadTimeout.String(),
		})
	})
	b.stall.Stop()
	return b
}

// Read reads the next bytes of the object. It returns io.EOF after the last
// byte, if the origin sent nothing after it. Any other error is an [*Error], or
// the error of the context given to Open. All further calls return the same
// error. Bytes are read from the connection directly into p, so a large p saves
// system calls.
func (b *Body) Read(p []byte) (int, error) {
	for len(p) > 0 && b.err == nil {
		if b.next == b.end {
			b.err = b.x.locate(b.finish())
			break
		}
		overlap := b.next < b.Offset
		limit := b.end
		if overlap {
			limit = b.Offset
		}
		n := b.fetch(p[:min(int64(len(p)), limit-b.next)])
		b.next += int64(n)
		switch {
		case overlap:
			b.discarded.Add(int64(n))
		case n > 0:
			return n, nil
		}
	}
	return 0, b.err
}

// Received returns the number of bytes received from the network, including the
// discarded ones. It may be called from any goroutine.
func (b *Body) Received() int64 {
	return b.received.Load()
}

// Discarded returns the number of bytes received before Offset, which Read does
// not return: the origin may start earlier than requested. It may be
// called from any goroutine.
func (b *Body) Discarded() int64 {
	return b.discarded.Load()
}

// Close closes the connection, whether or not the body was read to its end.
// After it no timer of the Body runs.
func (b *Body) Close() error {
	if b.err == nil {
		b.err = errClosed
	}
	b.stall.Stop()
	err := b.src.Close()
	b.x.end()
	return err
}

var errClosed = errors.New("netio: read of a closed body")

// fetch reads once from the source, within the rate limit, and returns the
// number of bytes. It stores an error in b.err.
func (b *Body) fetch(p []byte) int {
	p, err := b.pace(p)
	if err != nil {
		b.err = err
		return 0
	}
	b.stall.Reset(b.fetcher.cfg.ReadTimeout)
	n, err := b.read(p)
	b.owed = n
	switch {
	case err == nil && b.next+int64(n) < b.end:
		if slow := b.tooSlow(); slow != nil {
			b.err = b.x.locate(slow)
		}
	case err == nil:
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		b.err = b.x.locate(b.fetcher.errorOf(b.x, err))
	case b.next+int64(n) < b.end:
		b.err = b.x.locate(shortBody(b.Status, b.next+int64(n), b.Size, err))
	default:
		b.drained = true
	}
	return n
}

// read reads once from the source, until the stall timer ends. The caller has
// started it.
func (b *Body) read(p []byte) (int, error) {
	begin := time.Now()
	n, err := b.src.Read(p)
	b.stall.Stop()
	b.waited += time.Since(begin)
	b.window += int64(n)
	b.received.Add(int64(n))
	return n, err
}

// tooSlow returns an error if fewer bytes than MinRate allows have arrived in
// ReadTimeout of waiting.
func (b *Body) tooSlow() *Error {
	took, least := b.waited, b.fetcher.cfg.MinRate
	if took < b.fetcher.cfg.ReadTimeout {
		return nil
	}
	rate := float64(b.window) / took.Seconds()
	b.waited, b.window = 0, 0
	if rate >= float64(least) {
		return nil
	}
	return &Error{
		Kind: Transient, Reason: ReasonStall, Status: b.Status,
		Detail: fmt.Sprintf("%.3g bytes a second for %v, the minimum is %d", rate, took.Round(time.Second), least),
	}
}

// endTimeout is how long the end of a response is waited for after the last byte
// of the object.
const endTimeout = 5 * time.Second

// finish returns the error for the position after the last announced byte:
// io.EOF if the object ends there and nothing follows. A connection that breaks
// at this point (no last chunk, a reset) or is silent for endTimeout shows as
// well as a regular end that nothing follows.
func (b *Body) finish() error {
	var probe [1]byte
	b.stall.Reset(min(endTimeout, b.fetcher.cfg.ReadTimeout))
	for !b.drained {
		n, err := b.read(probe[:])
		switch {
		case n > 0:
			return &Error{Kind: TooLong, Status: b.Status, Detail: "the body is longer than announced"}
		case b.x.caller.Err() != nil:
			return b.x.caller.Err()
		case err != nil:
			b.drained = true
		}
	}
	if b.end < b.Size {
		// A server may send less than the requested range (RFC 9110 §15.3.7).
		return shortBody(b.Status, b.end, b.Size, io.ErrUnexpectedEOF)
	}
	return io.EOF
}
