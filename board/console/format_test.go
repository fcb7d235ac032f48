package console_test

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"otad/board/console"
)

var half = console.State{
	Name: "update.zip", Percent: 50, Done: 250_000_000, Durable: 250_000_000, Size: 500_000_000,
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
		{"a bar rather than where it was resumed", half, 80,
			"update.zip  50% [============>            ]  250 MB of 500 MB  10 MB/s  25s left"},
		{"no room for a bar", half, 60, "update.zip  50%  250 MB of 500 MB  10 MB/s  25s left"},
		{"no room for the amount", half, 40, "update.zip  50%  10 MB/s  25s left"},
		{"the time left is the last to go", half, 30, "update.zip  50%  25s left"},
		{"the name shrinks", half, 24, "update..  50%  25s left"},
		{"nothing but the percentage", half, 20, "update..  50%"},
		{"one column", half, 1, "u"},
		{"no columns", half, 0, ""},
		{"fewer than none", half, -1, ""},
		{"not resumed", with(func(s *console.State) { s.ResumedFrom = 0 }), 60,
			"update.zip  50%  250 MB of 500 MB  10 MB/s  25s left"},
		{"received and not durable yet", with(func(s *console.State) { s.Durable = 150_000_000 }), 78,
			"update.zip  50% [======----->           ]  250 MB of 500 MB  10 MB/s  25s left"},
		{"nothing is durable yet", with(func(s *console.State) { s.Durable = 0 }), 78,
			"update.zip  50% [----------->           ]  250 MB of 500 MB  10 MB/s  25s left"},
		{"read back, which is not received", with(func(s *console.State) { s.Done, s.Durable = 500_000_000, 500_000_000 }), 78,
			"update.zip  50% [===========>           ]  500 MB of 500 MB  10 MB/s  25s left"},
		{"message in place of the speed", with(func(s *console.State) { s.Message = "waiting for the network" }), 100,
			"update.zip  50% [==========>         ]  250 MB of 500 MB  waiting for the network  resumed at 100 MB"},
		{"a message rather than the amount", with(func(s *console.State) { s.Message = "waiting for the network" }), 40,
			"update.zip  50%  waiting for the network"},
		{"a message is cut", with(func(s *console.State) { s.Message = "waiting for the network" }), 30,
			"update.zip  50%  waiting for.."},
		{"time left not known", with(func(s *console.State) { s.Left = -1 }), 80,
			"update.zip  50% [========>       ]  250 MB of 500 MB  10 MB/s  resumed at 100 MB"},
		{"speed not known", with(func(s *console.State) { s.BytesPerSecond = 0 }), 58,
			"update.zip  50% [===========>          ]  250 MB of 500 MB"},
		{"hours left", with(func(s *console.State) { s.Left = 26*time.Hour + 90*time.Second; s.ResumedFrom = 0 }), 60,
			"update.zip  50%  250 MB of 500 MB  10 MB/s  26h2m left"},
		{"size not known", console.State{Name: "u", Done: 1500, Left: -1}, 60, "u  1.5 kB"},
		{"nothing yet", console.State{Name: "u", Size: 1000, Left: -1}, 40,
			"u  0% [>                ]  0 B of 1.0 kB"},
		{"all", console.State{Name: "u", Percent: 100, Done: 1000, Durable: 1000, Size: 1000, Left: -1}, 40,
			"u  100% [============]  1.0 kB of 1.0 kB"},
		{"not all is never 100%", console.State{Name: "u", Percent: 99, Done: 999_999_999, Durable: 999_999_999, Size: 1_000_000_000, Left: -1}, 40,
			"u  99% [===========>]  1000 MB of 1.0 GB"},
		{"a percent", console.State{Name: "u", Percent: 29, Done: 29, Size: 100, Left: -1}, 22, "u  29%  29 B of 100 B"},
		{"more than all", console.State{Name: "u", Percent: 200, Done: 2000, Durable: 2000, Size: 1000, Left: -1}, 40,
			"u  200% [============]  2.0 kB of 1.0 kB"},
		{"less than nothing", console.State{Name: "u", Percent: -1, Done: -1, Size: 1000, Left: -1}, 40,
			"u  -1% [>               ]  0 B of 1.0 kB"},
		{"largest size", console.State{Name: "u", Percent: 100, Done: math.MaxInt64, Size: math.MaxInt64, Left: -1}, 26, "u  100%  9.2 EB of 9.2 EB"},
		{"long name", console.State{Name: strings.Repeat("n", 128), Done: 1, Left: -1}, 72, strings.Repeat("n", 22) + "..  1 B"},
		{"no name", console.State{Percent: 50, Done: 5, Size: 10, Left: -1}, 20, "50%  5 B of 10 B"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := console.Line(test.state, test.width); got != test.want {
				t.Errorf("Line(%d):\n got %q\nwant %q", test.width, got, test.want)
			}
		})
	}
}

// Every fact is there as a whole or not at all, and none goes before one that is
// worth less to who waits.
func TestFactsDropWhole(t *testing.T) {
	facts := []string{"25s left", "250 MB of 500 MB", "10 MB/s", "resumed at 100 MB"}
	part := map[string]bool{}
	for width := 17; width < 120; width++ {
		line := " " + console.Line(half, width) + "  "
		for i, fact := range facts {
			whole := strings.Contains(line, "  "+fact+"  ")
			if part[fact] && !whole && i == 0 {
				t.Errorf("%q is gone again at %d columns: %q", fact, width, line)
			}
			part[fact] = part[fact] || whole
			line = strings.Replace(line, "  "+fact, "", 1)
		}
		if line, _, _ = strings.Cut(line, " ["); !regexp.MustCompile(`^ update[.zip]*  50%\s*$`).MatchString(line) {
			t.Errorf("%d columns: part of a fact is left over: %q", width, line)
		}
	}
	for _, fact := range facts {
		if !part[fact] {
			t.Errorf("%q is never there", fact)
		}
	}
}

func TestLineNeverExceedsTheWidth(t *testing.T) {
	for width := range 200 {
		if got := console.Line(half, width); len(got) > width {
			t.Errorf("%d columns for a width of %d: %q", len(got), width, got)
		}
	}
}

func TestSummary(t *testing.T) {
	for _, test := range []struct {
		summary console.Summary
		want    string
	}{
		{console.Summary{Size: 500_000_000, Elapsed: 50 * time.Second, Verified: "MD5"}, "500 MB in 50s (10 MB/s), MD5 verified"},
		{console.Summary{Size: 500_000_000, ResumedFrom: 100_000_000, Elapsed: 42 * time.Second, Verified: "MD5 and SHA-256"},
			"500 MB, resumed at 100 MB, 400 MB in 42s (9.5 MB/s), MD5 and SHA-256 verified"},
		{console.Summary{Size: 1000, ResumedFrom: 1000, Elapsed: time.Second, Verified: "MD5"}, "1.0 kB, resumed at 1.0 kB, MD5 verified"},
		{console.Summary{Size: 1000, Elapsed: 0, Verified: "MD5"}, "1.0 kB in 0s (1.0 MB/s), MD5 verified"},
		{console.Summary{Size: 1_000_000, Elapsed: 12_345 * time.Microsecond, Verified: "MD5"}, "1.0 MB in 12ms (81 MB/s), MD5 verified"},
		{console.Summary{Size: 1_000_000, Elapsed: 1234 * time.Millisecond, Verified: "MD5"}, "1.0 MB in 1.2s (810 kB/s), MD5 verified"},
		{console.Summary{Size: 1 << 40, Elapsed: 5*time.Hour + 29*time.Second, Verified: "MD5"}, "1.1 TB in 5h0m (61 MB/s), MD5 verified"},
	} {
		if got := test.summary.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
