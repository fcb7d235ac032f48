package main

import (
	"fmt"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	const begin, end = 40 * time.Second, 100 * time.Second
	at := func(every time.Duration, n int) (all []request) {
		for i := range n {
			board := fmt.Sprint(i)
			back := end + time.Duration(i)*every
			all = append(all, request{at: end - time.Second, board: board, failed: true},
				request{at: back, board: board}, request{at: back + time.Second, board: board})
		}
		return all
	}
	for name, test := range map[string]struct {
		all     []request
		back    int
		low, up float64 // of the ratio
	}{
		"evenly":         {at(100*time.Millisecond, 1000), 1000, 0.95, 1.05},
		"all at once":    {at(time.Millisecond, 1000), 1000, 3, 4}, // within half of the outage they could be
		"nobody is back": {[]request{{at: end + 1, board: "1", failed: true}}, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := spreadOf(test.all, begin, end)
			if s.back != test.back || s.back > 0 && (s.ratio() < test.low || s.ratio() > test.up) {
				t.Errorf("%+v, ratio %.2f", s, s.ratio())
			}
		})
	}
	// Half of them come within one window, the others within the next nine.
	var all []request
	for i := range 200 {
		back := time.Duration(i) * 50 * time.Millisecond
		if i >= 100 {
			back = 10*time.Second + time.Duration(i-100)*900*time.Millisecond
		}
		all = append(all, request{at: end + back, board: fmt.Sprint(i)})
	}
	if s := spreadOf(all, begin, end); s.ratio() < 4 || s.peak < 10 {
		t.Errorf("a burst of 100 of 200 boards is %+v, ratio %.2f", s, s.ratio())
	}
}
