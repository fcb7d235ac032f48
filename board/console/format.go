package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// State is one moment of a download, as a [Bar] shows it. Its texts are printable
// ASCII: other characters may be wider than one column, or executed by the
// terminal.
type State struct {
	Name           string        // of the package
	Percent        int           // done, rounded down; shown once Size is known
	Done           int64         // bytes that are here
	Durable        int64         // of Done, those that a power cut cannot take
	Size           int64         // bytes of the package, 0: not known yet
	BytesPerSecond int64         // 0: not known
	Left           time.Duration // until the download is complete, below 0: not known
	ResumedFrom    int64         // offset at which this run continued, 0: from the start
	Message        string        // shown in place of the speed, "" for none
}

const (
	minName  = 8 // columns
	maxName  = 24
	minBar   = 10 // a shorter bar is not worth its columns
	maxBar   = 30
	barFrame = len(" []")
	gap      = "  " // before each fact
)

// Line formats s in at most width columns of ASCII, without an end of line: the
// name and the percentage, a bar, the amount, the speed and the time left or else
// the message, and where this run continued. A fact that does not fit is left out
// as a whole. The time left is the last to go; a message is cut at the right.
func Line(s State, width int) string {
	head := shorten(s.Name, min(max(width/3, minName), maxName))
	if s.Size > 0 {
		head = strings.TrimSpace(fmt.Sprintf("%s  %d%%", head, s.Percent))
	}
	r := room(width - len(head))
	message := r.take(shorten(s.Message, int(r)-len(gap)))
	left := r.take(timeLeft(s))
	done := r.take(amount(s))
	speed := r.take(speed(s))
	bar := min(int(r)-barFrame, maxBar)
	if s.Size <= 0 || bar < minBar {
		return cut(strings.TrimSpace(head+done+speed+left+message+r.take(resumedAt(s))), width)
	}
	spare := r - room(minBar+barFrame)
	if resumed := spare.take(resumedAt(s)); resumed != "" {
		message, bar = message+resumed, min(minBar+int(spare), maxBar)
	}
	return cut(strings.TrimSpace(head+" ["+fill(s, bar)+"]"+done+speed+left+message), width)
}

// room is how many columns of the line are free.
type room int

// take returns fact with a gap before it, or "" where there is no room for both.
func (r *room) take(fact string) string {
	if fact == "" || len(gap)+len(fact) > int(*r) {
		return ""
	}
	*r -= room(len(gap) + len(fact))
	return gap + fact
}

func amount(s State) string {
	if s.Size <= 0 && s.Done <= 0 {
		return ""
	}
	if s.Size <= 0 {
		return bytes(s.Done)
	}
	return bytes(s.Done) + " of " + bytes(s.Size)
}

// Pace returns a speed, in bytes a second, and the time left, below 0: not known,
// as [Line] shows them.
func Pace(bytesPerSecond int64, left time.Duration) string {
	s := State{BytesPerSecond: bytesPerSecond, Left: left}
	return strings.TrimSpace(speed(s) + gap + timeLeft(s))
}

func speed(s State) string {
	if s.Message != "" || s.BytesPerSecond <= 0 {
		return ""
	}
	return bytes(s.BytesPerSecond) + "/s"
}

func timeLeft(s State) string {
	if speed(s) == "" || s.Left < 0 {
		return ""
	}
	return brief(s.Left) + " left"
}

func resumedAt(s State) string {
	if s.ResumedFrom <= 0 {
		return ""
	}
	return "resumed at " + bytes(s.ResumedFrom)
}

// fill draws the bar: = for what is durable, - for what is here and not durable
// yet, and > at its end.
func fill(s State, columns int) string {
	here := columns * min(max(s.Percent, 0), 100) / 100
	durable := here
	if s.Durable < s.Done {
		durable = min(here, int(float64(columns)*float64(s.Durable)/float64(s.Size)))
	}
	bar := strings.Repeat("=", durable) + strings.Repeat("-", here-durable)
	if here < columns {
		bar += ">" + strings.Repeat(" ", columns-here-1)
	}
	return bar
}

// Summary describes a download that is complete.
type Summary struct {
	Size        int64         // bytes of the package
	ResumedFrom int64         // offset at which this run continued, 0: from the start
	Elapsed     time.Duration // of this run
	Verified    string        // the digests that matched, such as "MD5"
}

// Fetched returns the bytes that this run added.
func (s Summary) Fetched() int64 { return max(s.Size-s.ResumedFrom, 0) }

// BytesPerSecond returns the average rate of this run.
func (s Summary) BytesPerSecond() int64 {
	return int64(float64(s.Fetched()) / max(s.Elapsed.Seconds(), 0.001))
}

// String formats s as one line, without an end of line.
func (s Summary) String() string {
	text := bytes(s.Size)
	if s.ResumedFrom > 0 {
		text += ", resumed at " + bytes(s.ResumedFrom)
		if s.Fetched() > 0 {
			text += ", " + bytes(s.Fetched())
		}
	}
	if s.Fetched() > 0 {
		text += fmt.Sprintf(" in %s (%s/s)", brief(s.Elapsed), bytes(s.BytesPerSecond()))
	}
	return text + ", " + s.Verified + " verified"
}

func bytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// brief formats a duration to about three digits.
func brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
}

func shorten(text string, columns int) string {
	if len(text) <= columns {
		return text
	}
	return cut(text, columns-2) + ".."
}

func cut(text string, columns int) string {
	return text[:min(len(text), max(columns, 0))]
}
