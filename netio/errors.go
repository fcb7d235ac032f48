package netio

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Kind classifies an [Error] by what the caller can do about it.
type Kind int

// The kinds of errors. After TooLong, no byte of the Body may be kept: its end
// is not that of the object. After the others, all bytes that Read returned are
// bytes of the object.
const (
	Transient     Kind = iota // retry at the same offset, after Wait or a back-off
	Offline                   // no network: retry, without counting it
	Permanent                 // a retry would not help
	Expired                   // the signed URL has expired: use a new one
	Changed                   // the object was replaced: restart at 0
	Unsatisfiable             // nothing at the offset: restart at 0
	Complete                  // the object ends at the offset: all is there
	WrongSize                 // the object does not have Request.Size bytes
	NotPackage                // somebody else may have responded: retry; no byte held is lost
	NoClock                   // the clock is wrong, so no certificate can be checked: retry, at no cost
	TooLong                   // the body goes on after the announced end
)

var kindNames = [...]string{
	"transient", "offline", "permanent", "expired", "changed",
	"unsatisfiable", "complete", "wrong size", "not the package", "no clock", "too long",
}

// String returns the name of k for logs and tests, such as "wrong size".
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "kind " + strconv.Itoa(int(k))
	}
	return kindNames[k]
}

// Reason is the cause of a retry. The set is closed (see [Reasons]), so it can
// be the value of a metric's label.
type Reason string

// The reasons. Only the errors that may be retried at the same offset have one:
// Transient, Offline, NotPackage and NoClock.
const (
	ReasonDNS       Reason = "dns"        // the host does not exist, or leads to an address that may not be dialled
	ReasonConnect   Reason = "connect"    // refused, by the origin or a proxy
	ReasonTLS       Reason = "tls"        // TLS broken, certificate not valid, client key unreadable
	ReasonTimeout   Reason = "timeout"    // before the end of the header
	ReasonStall     Reason = "stall"      // no byte for Config.ReadTimeout, or below MinRate
	ReasonReset     Reason = "reset"      // connection lost
	ReasonShortBody Reason = "short_body" // the body ended before the object
	ReasonHTTP429   Reason = "http_429"   // 429 Too Many Requests
	ReasonHTTP5xx   Reason = "http_5xx"   // 5xx with Retry-After or of RetryStatus
	ReasonHTTP4xx   Reason = "http_4xx"   // another 4xx of that kind
	ReasonOffline   Reason = "offline"    // no network
	ReasonOther     Reason = "other"      // for example a malformed response
)

var reasons = [...]Reason{
	ReasonDNS, ReasonConnect, ReasonTLS, ReasonTimeout, ReasonStall,
	ReasonReset, ReasonShortBody, ReasonHTTP429, ReasonHTTP5xx, ReasonHTTP4xx,
	ReasonOffline, ReasonOther,
}

// Reasons returns all reasons, in a slice that belongs to the caller.
func Reasons() []Reason {
	return slices.Clone(reasons[:])
}

// Error is the error of [Fetcher.Open] and [Body.Read]. It can be logged and
// shown as it is: neither its text nor that of its cause contains the query or
// the userinfo of a URL. Its text is [Printable].
type Error struct {
	Kind   Kind
	Reason Reason        // empty if Kind has none
	Status int           // HTTP status of the response; 0: there was none
	Insist bool          // of NotPackage: if every retry is answered so, it is the origin's way
	Wait   time.Duration // requested by Retry-After; 0: the caller's back-off
	Detail string        // the text, one line
	Err    error         // the cause, for errors.Is and As; may be nil
}

// Error returns Detail.
func (e *Error) Error() string {
	return e.Detail
}

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error {
	return e.Err
}

// permanent returns a Permanent error. status is 0 if there was no response.
func permanent(status int, detail string, cause error) *Error {
	return &Error{Kind: Permanent, Status: status, Detail: detail, Err: cause}
}

func permanentf(status int, format string, args ...any) *Error {
	return permanent(status, fmt.Sprintf(format, args...), nil)
}

// shortBody returns the error of a body that ended at offset at of an object of
// size bytes.
func shortBody(status int, at, size int64, cause error) *Error {
	return &Error{
		Kind: Transient, Reason: ReasonShortBody, Status: status,
		Detail: fmt.Sprintf("the body ended at byte %d of %d", at, size),
		Err:    cause,
	}
}
