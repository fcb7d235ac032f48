package console

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// State is what there is to show of one download.
type State struct {
	Name           string        // of the package
	Done           int64         // bytes that are durable
	Size           int64         // bytes of the package, 0: not known yet
	BytesPerSecond int64         // 0: not known
	Left           time.Duration // until the download is complete, below 0: not known
	ResumedFrom    int64         // offset at which this run went on, 0: from the start
	Message        string        // what it waits for or does instead of downloading, "" for nothing
}

const (
	maxName  = 24 // columns
	minBar   = 10 // a shorter one says nothing
	maxBar   = 30
	barFrame = len(" []")
)

// Line shows s in at most width columns of ASCII, without an end of line: the
// name, a bar when there is room for one, the amount, and either the speed and
// the time left or the message. What does not fit is cut off at the right.
func Line(s State, width int) string {
	name := shorten(ascii(s.Name), maxName)
	head := strings.TrimSpace(name + "  " + percentOf(s))
	tail := strings.Join(append([]string{"", amount(s)}, activity(s)...), "  ")
	bar := ""
	if room := min(width-len(head)-len(tail)-barFrame, maxBar); room >= minBar && s.Size > 0 {
		bar = " [" + fill(s, room) + "]"
	}
	return cut(strings.TrimSpace(head+bar+tail), width)
}

// Plain shows s as one line for a log or a file, where nothing can be redrawn.
func Plain(s State) string {
	facts := append([]string{strings.TrimSpace(percentOf(s) + " " + amount(s))}, activity(s)...)
	return ascii(s.Name) + ": " + strings.Join(facts, ", ")
}

// activity is all that comes after the amount.
func activity(s State) []string {
	var facts []string
	switch {
	case s.Message != "":
		facts = append(facts, ascii(s.Message))
	case s.BytesPerSecond > 0:
		facts = append(facts, bytes(s.BytesPerSecond)+"/s")
		if s.Left >= 0 {
			facts = append(facts, brief(s.Left)+" left")
		}
	}
	if s.ResumedFrom > 0 {
		facts = append(facts, "resumed at "+bytes(s.ResumedFrom))
	}
	return facts
}

func amount(s State) string {
	if s.Size <= 0 {
		return bytes(s.Done)
	}
	return bytes(s.Done) + " of " + bytes(s.Size)
}

// percentOf is rounded down, so that 100% is never shown early. It is empty
// while the size is not known.
func percentOf(s State) string {
	if s.Size <= 0 {
		return ""
	}
	return fmt.Sprintf("%d%%", share(s, 100))
}

func fill(s State, columns int) string {
	done := share(s, columns)
	if done == columns {
		return strings.Repeat("=", columns)
	}
	return strings.Repeat("=", done) + ">" + strings.Repeat(" ", columns-done-1)
}

// share is how many of the given parts of the package are done, rounded down.
// It is exact for every size; the product alone could overflow.
func share(s State, parts int) int {
	done := min(max(s.Done, 0), s.Size)
	high, low := bits.Mul64(uint64(done), uint64(parts))
	part, _ := bits.Div64(high, low, uint64(s.Size))
	return int(part)
}

func bytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// brief writes a duration in its two largest units.
func brief(d time.Duration) string {
	if d < time.Hour {
		return d.Round(time.Second).String()
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
}

// ascii replaces what could take another width than one column, or be an order
// to the terminal: names come from outside.
func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

func shorten(text string, columns int) string {
	if len(text) <= columns {
		return text
	}
	return text[:columns-2] + ".."
}

func cut(text string, columns int) string {
	return text[:min(len(text), max(columns, 0))]
}
