package netio

import "time"

const (
	firstDelay  = time.Second
	maxDelay    = time.Minute
	delaySpread = 0.2 // either way
)

// Backoff returns how long to wait before retry number attempt, counted from 0: 1 s, 2 s, 4 s and so on up to 1 min, each
// moved by up to 20 % either way so that boards that lost the same origin do not come back in step. jitter, in [0,1),
// says where in that range; rand.Float64 gives one.
func Backoff(attempt int, jitter float64) time.Duration {
	d := firstDelay
	for range attempt {
		if d *= 2; d >= maxDelay {
			d = maxDelay
			break
		}
	}
	return time.Duration(float64(d) * (1 - delaySpread + 2*delaySpread*jitter))
}
