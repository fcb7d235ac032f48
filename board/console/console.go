// Package console shows the progress of otad fetch on a terminal: one line that
// is redrawn in place.
//
// Log lines and the progress line share the terminal. The logger must write to
// the [Bar]: it erases the progress line, writes the log line and draws the
// progress line again below it.
package console

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// IsTerminal reports whether f is a terminal, which a [Bar] needs.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// Bar is the progress line of a terminal. Its methods may be called from any
// goroutine. Only Write returns errors of the terminal: a download must not
// fail because its progress cannot be shown.
type Bar struct {
	out   io.Writer
	width func() int

	mu       sync.Mutex
	line     string // on the terminal now, "" for none
	finished bool
}

// New returns a bar on the terminal tty that writes to out, which leads there. It
// draws nothing.
func New(tty *os.File, out io.Writer) *Bar {
	return &Bar{out: out, width: func() int { return columns(tty) }}
}

// columns returns the width of the terminal f. Every drawing reads the width
// anew, because a terminal can be resized.
func columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80 // a serial line reports no width
	}
	return int(size.Col)
}

// erase moves to the beginning of the line and clears the line to its end.
const erase = "\r\x1b[K"

// Draw replaces the progress line by that of s. It does nothing when the line
// stays the same, or after Finish.
func (b *Bar) Draw(s State) {
	// The last column stays free: a character there makes some terminals wrap.
	line := Line(s, b.width()-1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished || line == b.line {
		return
	}
	b.line = line
	b.print(erase + line)
}

// Finish leaves the progress line as it stands and moves to the next line, so
// that later output does not run into it. Without a progress line it writes
// nothing. Draw does nothing afterwards.
func (b *Bar) Finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line != "" {
		b.print("\n")
	}
	b.line, b.finished = "", true
}

func (b *Bar) print(text string) { _, _ = io.WriteString(b.out, text) }

// Write writes p, which is one or more whole lines, above the progress line.
func (b *Bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line == "" {
		return b.out.Write(p)
	}
	// In one write, so that the terminal never shows a state in between.
	all := append([]byte(erase), p...)
	if _, err := b.out.Write(append(all, b.line...)); err != nil {
		return 0, err
	}
	return len(p), nil
}
