package netio

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// A stage is how far an exchange has come, for telling an end of file in a TLS handshake from one before the answer.
type stage int32

const (
	connecting  stage = iota // name lookup and dial, a proxy's CONNECT included
	handshaking              // TLS
	asking                   // the request is being sent or waits for its answer
	answering                // the first byte of the answer has come
)

func (s stage) String() string {
	switch s {
	case connecting:
		return "while connecting"
	case handshaking:
		return "in the TLS handshake"
	case asking:
		return "before the answer"
	default:
		return "in the answer"
	}
}

// An exchange is one call of Open and the reading of its Body: the context that ends it and how far it has come. It
// stores contexts because it is itself one call, told in two halves.
type exchange struct {
	caller context.Context // asked only whether the caller gave up
	ctx    context.Context // the caller's, traced and cancellable
	cancel context.CancelCauseFunc
	stage  atomic.Int32 // written by the transport's goroutines
}

func newExchange(caller context.Context) *exchange {
	x := &exchange{caller: caller}
	enter := func(s stage) { x.stage.Store(int32(s)) }
	traced := httptrace.WithClientTrace(caller, &httptrace.ClientTrace{
		GetConn:              func(string) { enter(connecting) },
		TLSHandshakeStart:    func() { enter(handshaking) },
		GotConn:              func(httptrace.GotConnInfo) { enter(asking) },
		GotFirstResponseByte: func() { enter(answering) },
	})
	x.ctx, x.cancel = context.WithCancelCause(traced)
	return x
}

func (x *exchange) at() stage {
	return stage(x.stage.Load())
}

// end releases the exchange; a second call does nothing.
func (x *exchange) end() {
	x.cancel(nil)
}
