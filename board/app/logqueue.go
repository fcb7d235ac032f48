package app

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"otad/board/config"
	"otad/netio"
)

// maxQueue is in bytes: about 200 lines. The queue takes them while nobody
// reads, so a longer one would not keep more of a log for which the reader is
// gone.
const maxQueue = 32 << 10

// logQueue is a writer that never waits: a goroutine of its own writes to out.
// What does not fit is dropped and counted. A reader of stderr that hangs must
// stop neither the machine nor the API. Its methods may be called from any
// goroutine.
type logQueue struct {
	out io.Writer

	mu      sync.Mutex
	pending []byte
	writing bool          // the goroutine has taken bytes that are not written yet
	dropped int64         // whole lines
	wake    chan struct{} // holds one; closed by close
	idle    chan struct{} // closed by the goroutine when it ends
	closed  bool
}

func newLogQueue(out io.Writer) *logQueue {
	q := &logQueue{out: out, wake: make(chan struct{}, 1), idle: make(chan struct{})}
	go q.run()
	return q
}

// Write queues p, or drops it as a whole. It returns no error.
func (q *logQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.pending)+len(p) > maxQueue {
		q.dropped++
		return len(p), nil
	}
	q.pending = append(q.pending, p...)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

// lost returns how many lines were dropped so far.
func (q *logQueue) lost() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// hasRoom reports whether a line of an ordinary length fits.
func (q *logQueue) hasRoom() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.pending) <= maxQueue/2
}

func (q *logQueue) run() {
	defer close(q.idle)
	var lines []byte
	for range q.wake {
		q.mu.Lock()
		lines, q.pending, q.writing = q.pending, lines[:0], true
		q.mu.Unlock()
		_, err := q.out.Write(lines)
		q.mu.Lock()
		q.writing = false
		if err != nil {
			q.dropped += int64(bytes.Count(lines, []byte("\n")))
		}
		q.mu.Unlock()
	}
}

// flush returns when what was queued is written, or after limit.
func (q *logQueue) flush(limit time.Duration) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		q.mu.Lock()
		done := len(q.pending) == 0 && !q.writing
		q.mu.Unlock()
		if done {
			return
		}
	}
}

// close writes what is queued, for as long as limit, and drops what comes later.
func (q *logQueue) close(limit time.Duration) {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.wake)
	}
	q.mu.Unlock()
	select {
	case <-q.idle:
	case <-time.After(limit):
	}
}

// flushLimit is how long the end of otad waits for the reader of the log.
const flushLimit = 200 * time.Millisecond

// logHandler gives each line its priority where journald reads stderr, and
// reports in the next line that gets through how many were dropped.
type logHandler struct {
	slog.Handler
	queue *logQueue
	state *logState
}

// logState is what the handlers of one log share.
type logState struct {
	mu       sync.Mutex
	reported int64  // of the dropped lines
	prefix   string // of the line that is being written
	journald bool
}

// Handle implements [slog.Handler].
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	h.state.mu.Lock()
	defer h.state.mu.Unlock()
	if lost := h.queue.lost(); lost > h.state.reported && h.queue.hasRoom() {
		r = r.Clone()
		r.AddAttrs(slog.Int64("log_lines_dropped", lost-h.state.reported))
		h.state.reported = lost
	}
	if h.state.journald {
		h.state.prefix = priority(r.Level)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs), h.queue, h.state}
}

// WithGroup implements [slog.Handler].
func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name), h.queue, h.state}
}

// prefixed writes each line, in printable ASCII, after the prefix of its record.
// slog makes one write a record, while Handle holds the lock.
type prefixed struct {
	out   io.Writer
	state *logState
}

func (p prefixed) Write(line []byte) (int, error) {
	text := netio.PrintableLines(line)
	if p.state.prefix != "" {
		text = append([]byte(p.state.prefix), text...)
	}
	_, err := p.out.Write(text)
	return len(line), err
}

// newLog returns a log whose lines go to sink, which writes to queue.
func newLog(cfg *config.Config, level slog.Leveler, sink io.Writer, queue *logQueue, journald bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	state := &logState{journald: journald}
	out := prefixed{sink, state}
	var lines slog.Handler = slog.NewTextHandler(out, options)
	if cfg.LogFormat == "json" {
		lines = slog.NewJSONHandler(out, options)
	}
	return slog.New(logHandler{lines, queue, state})
}

// readByJournald reports whether f is the stream that systemd has connected with
// its journal, which then takes "<3>" at the beginning of a line as its priority
// (sd-daemon(3)).
func readByJournald(f *os.File) bool {
	stream := os.Getenv("JOURNAL_STREAM")
	if stream == "" {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == strconv.FormatUint(uint64(st.Dev), 10)+":"+strconv.FormatUint(uint64(st.Ino), 10)
}

// priority returns the prefix for a level, by the numbers of syslog(3).
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "<3>"
	case l >= slog.LevelWarn:
		return "<4>"
	case l >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}

// PrintError writes the error of a run to stderr as its last line. It waits only
// for a moment: nobody may read stderr.
func PrintError(stderr *os.File, err error) {
	prefix := ""
	if readByJournald(stderr) {
		prefix = priority(slog.LevelError)
	}
	q := newLogQueue(stderr)
	text := netio.Printable(strings.ReplaceAll(err.Error(), "\n", "; ")) // of joined errors
	_, _ = io.WriteString(q, prefix+"otad: "+text+"\n")                  // the queue returns no error
	q.close(flushLimit)
}
