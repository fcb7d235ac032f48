package main

import (
	"slices"
	"time"
)

// window is what requests are counted in: single seconds of a few hundred boards
// are noise.
const window = 10 * time.Second

// spread is how boards come back after an outage.
type spread struct {
	back    int           // boards that came back
	nearly  time.Duration // from the end of the outage until 95 % of them were there
	last    time.Duration // until all were
	windows []int         // boards that came back in each window
	peak    float64       // boards a second in the busiest window
	average float64       // boards a second until 95 % were there, and at least for half the outage
}

// ratio is how much busier the busiest window is than the average.
func (s spread) ratio() float64 { return s.peak / s.average }

// spreadOf returns the spread of each board's first good answer after the end of
// an outage. Boards that all come at once have no average to speak of, so it is
// taken over half of the outage's length at least.
func spreadOf(all []request, begin, end time.Duration) spread {
	first := map[string]time.Duration{}
	for _, r := range all {
		if _, seen := first[r.board]; r.at >= end && !r.failed && !seen {
			first[r.board] = r.at - end
		}
	}
	var back []time.Duration
	for _, at := range first {
		back = append(back, at)
	}
	if len(back) == 0 {
		return spread{}
	}
	slices.Sort(back)
	s := spread{back: len(back), nearly: back[(len(back)*95+99)/100-1], last: back[len(back)-1]}
	s.windows = make([]int, s.last/window+1)
	for _, at := range back {
		s.windows[at/window]++
	}
	s.peak = float64(slices.Max(s.windows)) / window.Seconds()
	s.average = float64(len(back)) * 0.95 / max(s.nearly, (end-begin)/2).Seconds()
	return s
}
