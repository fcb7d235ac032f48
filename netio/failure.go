package netio

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A Kind says what may be done about a [Error].
type Kind int

// The kinds. All but TooLong leave the bytes held so far as good as they were.
const (
	Transient     Kind = iota // ask again from the same offset, after Failure.Wait or a back-off
	Offline                   // the board has no network: ask again, at no cost to the retries
	Permanent                 // asking again would not help
	Expired                   // the signed URL has expired: a newly signed one goes on from the same offset
	Changed                   // the origin's object is another one now: start over from 0
	Unsatisfiable             // the origin has nothing at the offset: start over from 0
	Complete                  // nothing is left to fetch: the bytes held are the whole object
	WrongSize                 // the origin's object is not of Request.Size
	NotPackage                // somebody else may have answered: ask again, nothing held is lost
	NoClock                   // the board's clock is wrong, so no certificate can be judged: ask again, at no cost to the retries
	TooLong                   // the answer did not end with the object: nothing of it may be kept
)

var kindNames = [...]string{
	"transient", "offline", "permanent", "expired", "changed", "unsatisfiable", "complete", "wrong size", "not the package", "no clock", "surplus",
}

// String returns k in words, for logs and tests.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "kind " + strconv.Itoa(int(k))
	}
	return kindNames[k]
}

// A Reason names the cause of a retry: a label value, from a closed set.
type Reason string

// The reasons. Failures that are neither Transient nor Offline have none.
const (
	ReasonDNS       Reason = "dns"        // the name server says that there is no such host
	ReasonConnect   Reason = "connect"    // refused, or a proxy could not get through
	ReasonTLS       Reason = "tls"        // handshake or record cut or damaged
	ReasonTimeout   Reason = "timeout"    // connection, handshake or header not in time
	ReasonStall     Reason = "stall"      // no byte of the body for ReadTimeout
	ReasonReset     Reason = "reset"      // connection lost
	ReasonShortBody Reason = "short_body" // the body ended before the object did
	ReasonHTTP429   Reason = "http_429"
	ReasonHTTP5xx   Reason = "http_5xx"
	ReasonHTTP4xx   Reason = "http_4xx" // another 4xx, listed in RetryStatus
	ReasonOffline   Reason = "offline"
	ReasonOther     Reason = "other"
)

var reasons = [...]Reason{
	ReasonDNS, ReasonConnect, ReasonTLS, ReasonTimeout, ReasonStall, ReasonReset, ReasonShortBody,
	ReasonHTTP429, ReasonHTTP5xx, ReasonHTTP4xx, ReasonOffline, ReasonOther,
}

// Reasons returns every Reason there is.
func Reasons() []Reason {
	return slices.Clone(reasons[:])
}

// A Error is why an object, or the rest of it, could not be had. Its text can be shown to anyone: it is in this
// package's own words, with nothing of a URL's query or userinfo in it.
type Error struct {
	Kind   Kind
	Reason Reason        // of a Transient or Offline failure; else empty
	Status int           // of the answer; 0: there was none
	Wait   time.Duration // asked for by Retry-After, capped; 0: the caller's own back-off
	Insist bool          // of NotPackage: an origin that answers so each time can do no other
	Detail string        // one line, safe to show
	Err    error         // the cause, for errors.Is and errors.As; may be nil
}

// Error returns Detail.
func (f *Error) Error() string {
	return f.Detail
}

// Unwrap returns the cause, which may be nil.
func (f *Error) Unwrap() error {
	return f.Err
}

// refuse returns a Permanent failure. status is that of the answer, 0 when there was none.
func refuse(status int, detail string, err error) *Error {
	return &Error{Kind: Permanent, Status: status, Detail: detail, Err: err}
}

func refusef(status int, format string, args ...any) *Error {
	return refuse(status, fmt.Sprintf(format, args...), nil)
}

// shortBody is the failure of an answer that ended at offset at of an object of size bytes.
func shortBody(status int, at, size int64, err error) *Error {
	return &Error{
		Kind: Transient, Reason: ReasonShortBody, Status: status,
		Detail: fmt.Sprintf("the body ended at byte %d of %d", at, size), Err: err,
	}
}
