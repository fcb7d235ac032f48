package netio

import (
	"net/http"
	"time"
)

// retryAfter returns the wait that h's Retry-After asks for (RFC 9110 §10.2.3: seconds or an HTTP date), at most longest.
// A date is counted from the answer's own Date, as a board's clock may be off by years; from now when there is none. 0
// means the caller's own back-off: nothing asked for, or nothing that makes sense (negative, in the past, no number).
func retryAfter(h http.Header, now time.Time, longest time.Duration) time.Duration {
	v := h.Get("Retry-After")
	if seconds, ok := parseDigits(v); ok {
		if seconds > int64(longest/time.Second) { // compared before it is multiplied: no overflow
			return longest
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	return min(max(at.Sub(now), 0), longest)
}
