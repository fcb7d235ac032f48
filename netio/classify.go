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

// errorOf returns the error of Open or Read for an exchange that ended with
// err: the error of the caller's context if that has ended, else an *Error.
func (f *Fetcher) errorOf(x *exchange, err error) error {
	if ended := x.caller.Err(); ended != nil {
		return ended
	}
	// An *Error of this package comes back through the transport, or as the
	// cause of a cancellation by a timer.
	var own *Error
	if errors.As(err, &own) || errors.As(context.Cause(x.ctx), &own) {
		return own
	}
	return f.classify(x, err)
}

// classify returns the *Error for an error of the standard library. Kind and
// reason depend on the types of the errors, never on their texts.
func (f *Fetcher) classify(x *exchange, err error) *Error {
	at := x.at()
	fail := func(k Kind, r Reason, detail string) *Error {
		return &Error{Kind: k, Reason: r, Detail: detail, Err: safe(err)}
	}
	if e := f.certificateError(err); e != nil {
		return e
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		if lookup.IsNotFound {
			return fail(Transient, ReasonDNS, fmt.Sprintf("no such host: %s", Scrub(lookup.Name)))
		}
		return fail(Offline, ReasonOffline, "no answer from a name server")
	}
	noRoute := isAny(err, unreachable...)
	switch {
	case at == connecting && (noRoute || isAny(err, syscall.EADDRNOTAVAIL)):
		// Linux returns EADDRNOTAVAIL for IPv6 before an interface is up.
		return fail(Offline, ReasonOffline, "no route to the origin")
	case isTimeout(err):
		return fail(Transient, ReasonTimeout, fmt.Sprintf("timeout %s", at))
	case isAny(err, syscall.ECONNREFUSED):
		return fail(Transient, ReasonConnect, "connection refused")
	case at == handshaking || isTLS(err):
		return fail(Transient, ReasonTLS, fmt.Sprintf("TLS broke %s%s%s", at, alertOf(err), x.mistakeOf(err)))
	case at == connecting:
		return fail(Transient, ReasonConnect, "cannot connect: "+Scrub(err.Error()))
	case at == requesting || noRoute || isAny(err, syscall.ECONNRESET, syscall.EPIPE,
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed):
		return fail(Transient, ReasonReset, fmt.Sprintf("connection lost %s%s", at, x.withoutCertificate(at)))
	}
	return fail(Transient, ReasonOther, "bad answer: "+Scrub(err.Error())+x.mistakeOf(err))
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() ||
		isAny(err, os.ErrDeadlineExceeded, context.DeadlineExceeded)
}

// isTLS reports whether err is from the TLS layer: data that is no TLS record,
// or an alert. crypto/tls wraps an alert in a net.OpError and sets Op by the
// side that raised it.
func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var op *net.OpError
	return errors.As(err, &record) ||
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// alertOf returns the alert with which the server ended TLS, if there was one.
// It can be the only hint that the board lacks, for example, a client
// certificate.
func alertOf(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return ": " + Scrub(op.Err.Error())
	}
	return ""
}

// safe returns err if its text contains no secret, else an error with only the
// scrubbed text: a caller may print the cause.
func safe(err error) error {
	if text := Scrub(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
