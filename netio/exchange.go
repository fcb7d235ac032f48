package netio

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
)

// stage is the progress of an exchange. The same error, such as an EOF, means
// something else in the TLS handshake than before the response.
type stage int32

const (
	connecting  stage = iota // name lookup, dial, CONNECT to a proxy
	handshaking              // TLS
	requesting               // sending the request, waiting for the response
	responding               // the first byte of the response has arrived
)

func (s stage) String() string {
	switch s {
	case connecting:
		return "while connecting"
	case handshaking:
		return "in the TLS handshake"
	case requesting:
		return "before the answer"
	default:
		return "in the answer"
	}
}

// exchange is one call of Open and the reads of its Body. It stores contexts
// because both together are one operation, which ends with one context.
type exchange struct {
	caller context.Context // given to Open; only its Err is used
	ctx    context.Context // derived from caller, with a trace
	cancel context.CancelCauseFunc
	stage  atomic.Int32 // written by goroutines of the transport

	first, last string // origins of the URL and of the latest hop, see originOf
	proxy       string // of the latest hop; empty: none
	hop         *hop   // the latest one; nil before it
}

func newExchange(caller context.Context) *exchange {
	x := &exchange{caller: caller}
	enter := func(s stage) { x.stage.Store(int32(s)) }
	traced := httptrace.WithClientTrace(caller, &httptrace.ClientTrace{
		GetConn:              func(string) { enter(connecting) },
		TLSHandshakeStart:    func() { enter(handshaking) },
		GotConn:              func(httptrace.GotConnInfo) { enter(requesting) },
		GotFirstResponseByte: func() { enter(responding) },
	})
	x.ctx, x.cancel = context.WithCancelCause(traced)
	return x
}

func (x *exchange) at() stage {
	return stage(x.stage.Load())
}

// visit notes the origin of the next hop. It reports whether that is the origin
// of the URL.
func (x *exchange) visit(origin string) bool {
	if x.first == "" {
		x.first = origin
	}
	x.last, x.proxy = origin, ""
	return origin == x.first
}

// locate returns err with the place where it happened in its text.
func (x *exchange) locate(err error) error {
	var own *Error
	if x.last == "" || !errors.As(err, &own) {
		return err
	}
	place := x.last
	if x.last != x.first {
		place += ", redirected from " + x.first
	}
	if x.proxy != "" {
		place += ", through the proxy " + x.proxy
	}
	e := *own                                           // own may be the cause of the context, which is used again
	e.Detail = Printable(e.Detail + " (" + place + ")") // a host may be a redirect's
	return &e
}

// end cancels the exchange and releases its context. It may be called again.
func (x *exchange) end() {
	x.cancel(nil)
}
