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
	Done           int64         // durable bytes
	Size           int64         // bytes of the package, 0: not known yet
	BytesPerSecond int64         // 0: not known
	Left           time.Duration // until the download is complete, below 0: not known
	ResumedFrom    int64         // offset at which this run continued, 0: from the start
	Message        string        // shown in place of the speed, "" for none
}

const (
	maxName  = 24 // columns
	minBar   = 10 // a shorter bar is not worth its columns
	maxBar   = 30
	barFrame = len(" []")
)

// Line formats s in at most width columns of ASCII, without an end of line: the
// name, a bar when there is room for one, the amount, and either the speed and
// the time left or the message. A line that is too long is cut off at the right.
func Line(s State, width int) string {
	head, bar := shorten(s.Name, maxName), ""
	if s.Size > 0 {
		head = strings.TrimSpace(fmt.Sprintf("%s  %d%%", head, s.Percent))
	}
	tail := strings.Join(append([]string{"", amount(s)}, activity(s)...), "  ")
	if room := min(width-len(head)-len(tail)-barFrame, maxBar); room >= minBar && s.Size > 0 {
		bar = " [" + fill(s.Percent, room) + "]"
	}
	return cut(strings.TrimSpace(head+bar+tail), width)
}

// activity returns the parts of the line that follow the amount.
func activity(s State) []string {
	var parts []string
	switch {
	case s.Message != "":
		parts = append(parts, s.Message)
	case s.BytesPerSecond > 0:
		parts = append(parts, bytes(s.BytesPerSecond)+"/s")
		if s.Left >= 0 {
			parts = append(parts, brief(s.Left)+" left")
		}
	}
	if s.ResumedFrom > 0 {
		parts = append(parts, "resumed at "+bytes(s.ResumedFrom))
	}
	return parts
}

func amount(s State) string {
	if s.Size <= 0 {
		return bytes(s.Done)
	}
	return bytes(s.Done) + " of " + bytes(s.Size)
}

func fill(percent, columns int) string {
	done := columns * min(max(percent, 0), 100) / 100
	if done == columns {
		return strings.Repeat("=", columns)
	}
	return strings.Repeat("=", done) + ">" + strings.Repeat(" ", columns-done-1)
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
	return text[:columns-2] + ".."
}

func cut(text string, columns int) string {
	return text[:min(len(text), max(columns, 0))]
}
