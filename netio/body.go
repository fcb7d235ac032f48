package netio

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A Body is the rest of an object, being read. Read and Close belong to one goroutine; to break off a Read from another,
// end the context that Open was given.
type Body struct {
	BodyInfo

	fetcher *Fetcher
	x       *exchange
	src     io.ReadCloser
	stall   *time.Timer // ends x when it fires; runs only during a read of src
	next    int64       // offset in the object of the next byte of src
	end     int64       // where the answer said that it ends
	owed    int         // bytes read and not yet paid for at the limiter
	drained bool        // src has ended
	err     error       // what every further Read returns

	received, discarded atomic.Int64
}

// BodyInfo describes the answer that a Body is read from. It does not change after Open.
type BodyInfo struct {
	Offset       int64     // of the first byte that Read gives: Request.Offset, or 0 when the origin ignored the range
	Size         int64     // of the whole object
	Validator    Validator // what is now known of the object's version
	Status       int       // 206 or 200
	RangeIgnored bool      // bytes held from before are not part of this object's reading: start over with this Body
}

// Info returns the description of the answer.
func (b *Body) Info() BodyInfo { return b.BodyInfo }

func (f *Fetcher) newBody(x *exchange, resp *http.Response, r Request, a answer) *Body {
	b := &Body{
		BodyInfo: BodyInfo{Offset: r.Offset, Size: a.size, Validator: a.validator, Status: resp.StatusCode},
		fetcher:  f, x: x, src: resp.Body, next: a.start, end: a.end,
	}
	if resp.StatusCode == http.StatusOK {
		b.Offset, b.RangeIgnored = 0, r.Offset > 0
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

// Read gives the object's bytes from Offset to Size and then io.EOF, which says that the origin sent those bytes and
// nothing more. Any other error is a [*Error], or the error of Open's context when that ended; it comes again at every
// further call. Bytes go straight from the connection into p: a large p makes few system calls.
func (b *Body) Read(p []byte) (int, error) {
	for len(p) > 0 && b.err == nil {
		if b.next == b.end {
			b.err = b.finish()
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

// Received returns how many bytes have come from the network, discarded ones included. It may be called from any goroutine.
func (b *Body) Received() int64 {
	return b.received.Load()
}

// Discarded returns how many bytes came before Offset, because the origin began earlier than asked, and were dropped. It
// may be called from any goroutine.
func (b *Body) Discarded() int64 {
	return b.discarded.Load()
}

// Close gives up the rest and drops the connection. When it returns no timer of the Body runs any more.
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

// fetch reads once from the source, at the limiter's pace, and returns how many bytes came. What goes wrong is left in
// b.err.
func (b *Body) fetch(p []byte) int {
	p, err := b.pace(p)
	if err != nil {
		b.err = err
		return 0
	}
	n, err := b.read(p)
	b.owed = n
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		b.err = b.fetcher.broken(b.x, err)
	case b.next+int64(n) < b.end:
		b.err = shortBody(b.Status, b.next+int64(n), b.Size, err)
	default:
		b.drained = true
	}
	return n
}

// read reads once from the source, under the stall timer.
func (b *Body) read(p []byte) (int, error) {
	b.stall.Reset(b.fetcher.cfg.ReadTimeout)
	n, err := b.src.Read(p)
	b.stall.Stop()
	b.received.Add(int64(n))
	return n, err
}

// finish returns what to say after the last announced byte: io.EOF when that was the object's last and nothing follows.
// A connection that breaks there (no last chunk, a reset) proves as well as an orderly end that nothing follows.
func (b *Body) finish() error {
	var probe [1]byte
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
		return shortBody(b.Status, b.end, b.Size, io.ErrUnexpectedEOF) // a server may answer with less of a range than was asked for
	}
	return io.EOF
}
