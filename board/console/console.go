// Package console shows the progress of otad fetch: one line that is redrawn in
// place on a terminal, or plain lines where the output is none.
//
// Log lines and the progress line share the terminal. Let the logger write to
// the [Bar]: it takes the progress line away, writes the log line and draws the
// progress line again below it.
package console

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// IsTerminal reports whether f is a terminal, so that a [Bar] makes sense.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// Bar is the progress line of a terminal. Its methods may be called from any
// goroutine. Errors of the terminal are told only to whoever writes log
// lines through it: no download fails because nobody can watch it.
type Bar struct {
	out   io.Writer
	width func() int

	mu       sync.Mutex
	line     string // what is to be seen, "" for nothing
	finished bool
}

// New makes a bar on the terminal w. Nothing is drawn yet.
func New(w *os.File) *Bar {
	return &Bar{out: w, width: func() int { return columns(w) }}
}

// columns is asked for at each drawing: terminals are resized.
func columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80 // a serial line does not tell
	}
	return int(size.Col)
}

// erase goes to the beginning of the line and clears it to its end.
const erase = "\r\x1b[K"

// Draw shows s in place of what is shown. It does nothing when the line stays
// the same, or after Finish.
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

// Clear takes the line away until the next Draw.
func (b *Bar) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

// Finish puts line, and an end of line, in place of the progress for good. An
// empty line leaves nothing behind.
func (b *Bar) Finish(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.finished = true
	if line != "" {
		b.print(line + "\n")
	}
}

func (b *Bar) clear() {
	if b.line != "" {
		b.print(erase)
		b.line = ""
	}
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
