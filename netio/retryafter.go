package netio

import (
	"net/http"
	"time"
)

// retryAfter returns the wait of the Retry-After field in h, at most longest.
// It returns 0 if there is no such field or its value is not usable: negative,
// in the past, or neither a number of seconds nor an HTTP date (RFC 9110
// §10.2.3). A date is relative to the response's own Date, because the clock of
// a board may be wrong by years; now is used if the response has no Date.
func retryAfter(h http.Header, now time.Time, longest time.Duration) time.Duration {
	v := h.Get("Retry-After")
	if seconds, ok := parseDigits(v); ok {
		// Compare before multiplying, which could overflow.
		if seconds > int64(longest/time.Second) {
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
