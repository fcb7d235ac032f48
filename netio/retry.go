package netio

import (
	"net/http"
	"time"
)

const (
	firstBackoff  = time.Second
	maxBackoff    = time.Minute
	backoffSpread = 0.2 // up or down
)

// Backoff returns how long to wait before retry number attempt. The first retry
// is number 0; a negative number counts as 0. The wait is 1 s, 2 s, 4 s and so
// on, at most 1 min, and is then spread by up to 20 % up or down. Without the
// spread, all boards that lost the same server would return at the same moment.
//
// jitter, in [0,1), selects the point within the spread: 0 is 20 % less, 0.5 is
// the wait itself. Pass [math/rand/v2.Float64]() in production. As the spread
// comes after the cap, the result is between 0.8 s and 72 s; a caller that
// needs at most 1 min takes the minimum of both.
//
// Backoff keeps no state and may be called from any goroutine.
func Backoff(attempt int, jitter float64) time.Duration {
	d := firstBackoff
	for range attempt {
		if d *= 2; d >= maxBackoff {
			d = maxBackoff
			break
		}
	}
	return time.Duration(float64(d) * (1 - backoffSpread + 2*backoffSpread*jitter))
}

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
