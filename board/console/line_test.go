package console_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"otad/board/console"
)

var half = console.State{
	Name: "update.zip", Done: 250_000_000, Size: 500_000_000,
	BytesPerSecond: 10_000_000, Left: 25 * time.Second, ResumedFrom: 100_000_000,
}

func TestLine(t *testing.T) {
	with := func(change func(*console.State)) console.State {
		s := half
		change(&s)
		return s
	}
	tests := []struct {
		name  string
		state console.State
		width int
		want  string
	}{
		{"wide", half, 120,
			"update.zip  50% [===============>              ]  250 MB of 500 MB  10 MB/s  25s left  resumed at 100 MB"},
		{"bar shrinks", half, 90,
			"update.zip  50% [========>       ]  250 MB of 500 MB  10 MB/s  25s left  resumed at 100 MB"},
		{"no room for a bar", half, 80,
			"update.zip  50%  250 MB of 500 MB  10 MB/s  25s left  resumed at 100 MB"},
		{"cut", half, 40, "update.zip  50%  250 MB of 500 MB  10 MB"},
		{"one column", half, 1, "u"},
		{"no columns", half, 0, ""},
		{"fewer than none", half, -1, ""},
		{"not resumed", with(func(s *console.State) { s.ResumedFrom = 0 }), 60,
			"update.zip  50%  250 MB of 500 MB  10 MB/s  25s left"},
		{"message in place of the speed", with(func(s *console.State) { s.Message = "waiting for the network" }), 85,
			"update.zip  50%  250 MB of 500 MB  waiting for the network  resumed at 100 MB"},
		{"time left not known", with(func(s *console.State) { s.Left = -1 }), 70,
			"update.zip  50%  250 MB of 500 MB  10 MB/s  resumed at 100 MB"},
		{"speed not known", with(func(s *console.State) { s.BytesPerSecond = 0 }), 62,
			"update.zip  50%  250 MB of 500 MB  resumed at 100 MB"},
		{"hours left", with(func(s *console.State) { s.Left = 26*time.Hour + 90*time.Second; s.ResumedFrom = 0 }), 60,
			"update.zip  50%  250 MB of 500 MB  10 MB/s  26h2m left"},
		{"size not known", console.State{Name: "u", Done: 1500, Left: -1}, 60, "u  1.5 kB"},
		{"nothing yet", console.State{Name: "u", Size: 1000, Left: -1}, 40,
			"u  0% [>                ]  0 B of 1.0 kB"},
		{"all", console.State{Name: "u", Done: 1000, Size: 1000, Left: -1}, 40,
			"u  100% [============]  1.0 kB of 1.0 kB"},
		{"not all is never 100%", console.State{Name: "u", Done: 999_999_999, Size: 1_000_000_000, Left: -1}, 40,
			"u  99% [===========>]  1000 MB of 1.0 GB"},
		{"exact percent", console.State{Name: "u", Done: 29, Size: 100, Left: -1}, 22, "u  29%  29 B of 100 B"},
		{"more than all", console.State{Name: "u", Done: 2000, Size: 1000, Left: -1}, 24, "u  100%  2.0 kB of 1.0 k"},
		{"less than nothing", console.State{Name: "u", Done: -1, Size: 1000, Left: -1}, 24, "u  0%  0 B of 1.0 kB"},
		{"largest size", console.State{Name: "u", Done: math.MaxInt64, Size: math.MaxInt64, Left: -1}, 26, "u  100%  9.2 EB of 9.2 EB"},
		{"long name", console.State{Name: strings.Repeat("n", 128), Done: 1, Left: -1}, 40, strings.Repeat("n", 22) + "..  1 B"},
		{"orders to the terminal", console.State{Name: "a\x1b[2J\u00fc", Message: "b\nc", Left: -1}, 40, "a?[2J?  0 B  b?c"},
		{"no name", console.State{Done: 5, Size: 10, Left: -1}, 20, "50%  5 B of 10 B"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := console.Line(test.state, test.width); got != test.want {
				t.Errorf("Line(%d):\n got %q\nwant %q", test.width, got, test.want)
			}
		})
	}
}

func TestLineNeverExceedsTheWidth(t *testing.T) {
	for width := range 200 {
		if got := console.Line(half, width); len(got) > width {
			t.Errorf("%d columns for a width of %d: %q", len(got), width, got)
		}
	}
}

func TestPlain(t *testing.T) {
	waiting := half
	waiting.Message = "retry 2 of 3 in 4s"
	for _, test := range []struct {
		state console.State
		want  string
	}{
		{half, "update.zip: 50% 250 MB of 500 MB, 10 MB/s, 25s left, resumed at 100 MB"},
		{waiting, "update.zip: 50% 250 MB of 500 MB, retry 2 of 3 in 4s, resumed at 100 MB"},
		{console.State{Name: "u\n", Done: 7, Left: -1}, "u?: 7 B"},
	} {
		if got := console.Plain(test.state); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
