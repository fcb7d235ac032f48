package netio

import (
	"context"

	"golang.org/x/time/rate"
)

// maxBurst bounds what one read takes from a limited line: large enough for few wake-ups, small beside any block.
const maxBurst = 256 << 10

// newLimiter returns a limiter of so many bytes a second, nil for 0. Its burst is an eighth of a second's worth.
func newLimiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	burst := min(max(bytesPerSecond/8, 1), maxBurst)
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))
}

// pace waits until the bytes of the last read are paid for and returns p, cut to what the limiter can pay for at once.
// Paying afterwards charges what was read and not what was asked for. No stall timer runs meanwhile: it is we who wait.
func (b *Body) pace(p []byte) ([]byte, error) {
	limiter := b.fetcher.limiter
	if limiter == nil {
		return p, nil
	}
	if err := limiter.WaitN(b.x.ctx, b.owed); err != nil {
		if ended := b.x.caller.Err(); ended != nil {
			return nil, ended
		}
		return nil, context.DeadlineExceeded // WaitN does not wait for a deadline that it can see coming
	}
	b.owed = 0
	return p[:min(len(p), limiter.Burst())], nil
}
