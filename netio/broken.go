package netio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
)

// broken returns what Open or Read give back when the exchange x ended with err: the caller's own error when the caller
// ended it, else a Failure.
func (f *Fetcher) broken(x *exchange, err error) error {
	if ended := x.caller.Err(); ended != nil {
		return ended
	}
	// A Failure of our own making, thrown through the transport or left as the cause of a cancellation.
	var own *Error
	if errors.As(err, &own) || errors.As(context.Cause(x.ctx), &own) {
		return own
	}
	return f.classify(x.at(), err)
}

// classify tells what an error of the standard library means to the exchange, by its type and never by its text.
func (f *Fetcher) classify(at stage, err error) *Error {
	fail := func(k Kind, r Reason, detail string) *Error {
		return &Error{Kind: k, Reason: r, Detail: detail, Err: safe(err)}
	}
	if problem, ok := f.certificateProblem(err); ok {
		return refuse(0, problem, err)
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		if lookup.IsNotFound {
			return fail(Transient, ReasonDNS, fmt.Sprintf("no such host: %s", Scrub(lookup.Name)))
		}
		return fail(Offline, ReasonOffline, "no answer from a name server")
	}
	switch {
	case at == connecting && isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL):
		// The last is what Linux says of IPv6 before any interface is up.
		return fail(Offline, ReasonOffline, "no route to the origin")
	case isTimeout(err):
		return fail(Transient, ReasonTimeout, fmt.Sprintf("timeout %s", at))
	case isAny(err, syscall.ECONNREFUSED):
		return fail(Transient, ReasonConnect, "connection refused")
	case at == handshaking || isTLS(err):
		return fail(Transient, ReasonTLS, fmt.Sprintf("TLS broke %s%s", at, alertOf(err)))
	case at == connecting:
		return fail(Transient, ReasonConnect, "cannot connect: "+Scrub(err.Error()))
	case at == asking || isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN,
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed):
		return fail(Transient, ReasonReset, fmt.Sprintf("connection lost %s", at))
	}
	return fail(Transient, ReasonOther, "bad answer: "+Scrub(err.Error()))
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() || isAny(err, os.ErrDeadlineExceeded, context.DeadlineExceeded)
}

// isTLS reports whether err came from the TLS layer: a record that is none, or an alert, which crypto/tls wraps in a
// net.OpError whose Op says on which side it was raised.
func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var op *net.OpError
	return errors.As(err, &record) || errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// alertOf names the alert by which the server ended TLS, if it sent one: that says what the board lacks, for example a
// client certificate.
func alertOf(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return ": " + Scrub(op.Err.Error())
	}
	return ""
}

// safe returns err when its text can be shown as it is, else an error with the scrubbed text alone: some caller will
// print a cause one day.
func safe(err error) error {
	if text := Scrub(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
