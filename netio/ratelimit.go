package netio

import (
	"context"

	"golang.org/x/time/rate"
)

// maxBurst is the most that one read takes from a rate-limited body: enough for
// few wake-ups, and small beside any block.
const maxBurst = 256 << 10

// newLimiter returns a rate limiter, or nil if bytesPerSecond is 0. Its burst
// is the bytes of 1/8 s.
func newLimiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	burst := min(max(bytesPerSecond/8, 1), maxBurst)
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))
}

// pace waits until the rate limit allows the bytes of the last read, and
// returns p cut to the limiter's burst. It accounts for a read afterwards,
// because only then the number of bytes is known. The stall timer does not run
// meanwhile: the wait is not the origin's silence.
func (b *Body) pace(p []byte) ([]byte, error) {
	limiter := b.fetcher.limiter
	if limiter == nil {
		return p, nil
	}
	if err := limiter.WaitN(b.x.ctx, b.owed); err != nil {
		if ended := b.x.caller.Err(); ended != nil {
			return nil, ended
		}
		// WaitN returns early if the deadline would pass during the wait.
		return nil, context.DeadlineExceeded
	}
	b.owed = 0
	return p[:min(len(p), limiter.Burst())], nil
}
