package netio

import (
	"context"
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

// end cancels the exchange and releases its context. It may be called again.
func (x *exchange) end() {
	x.cancel(nil)
}
