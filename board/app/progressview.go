package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"otad/board/config"
	"otad/board/console"
	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// progressView shows the progress of fetch. The updater's goroutines call
// checkpoint, the goroutine of fetch calls the other methods.
type progressView interface {
	checkpoint(fsm.Snapshot)             // after each checkpoint and transition
	tick(fsm.Snapshot)                   // a few times a second
	ready(fsm.Snapshot, console.Summary) // once, when this run has made the package Ready
	finish()                             // last, whatever the result
}

// newProgressView returns the view that fits stderr, and the log that goes with
// it. Both write to queue, whose lines go to stderr. With -quiet both write
// nothing.
func newProgressView(cfg *config.Config, stderr *os.File, queue *logQueue) (*slog.Logger, progressView) {
	switch {
	case cfg.Fetch.Quiet:
		log := slog.New(slog.DiscardHandler)
		return log, &logView{log: log}
	case canRedraw(stderr):
		// The progress line replaces the log's messages below a warning.
		v := &barView{bar: console.New(stderr, queue)}
		return withoutFailure(newLog(cfg, max(cfg.LogLevel, slog.LevelWarn), v.bar, queue, false)), v
	}
	log := newLog(cfg, cfg.LogLevel, queue, queue, readByJournald(stderr))
	if cfg.LogFormat != "json" { // whoever parses JSON does not parse the last line
		log = withoutFailure(log)
	}
	return log, &logView{log: log}
}

// canRedraw reports whether f is a terminal that can draw a line anew. One that is
// dumb cannot (terminfo(5), dumb); an editor's shell and a build server say so.
func canRedraw(f *os.File) bool { return os.Getenv("TERM") != "dumb" && console.IsTerminal(f) }

// barView is the progress line of a terminal.
type barView struct {
	bar  *console.Bar
	last console.State // as drawn; zero: nothing is drawn yet
}

func (*barView) checkpoint(fsm.Snapshot) {}

// tick draws the line only while the job is active: the line of a failed fetch
// stays where it was.
func (v *barView) tick(s fsm.Snapshot) {
	if s.State == fsm.Downloading || s.State == fsm.Verifying {
		v.last = lineOf(s)
		v.bar.Draw(v.last)
	}
}

func (v *barView) ready(s fsm.Snapshot, sum console.Summary) {
	v.last = lineOf(s)
	v.finish()
	fmt.Fprintln(v.bar, sum)
}

// finish leaves the name, the bar and the amount on the terminal.
func (v *barView) finish() {
	if v.last != (console.State{}) {
		v.last.Message, v.last.BytesPerSecond, v.last.ResumedFrom = "", 0, 0
		v.bar.Draw(v.last)
	}
	v.bar.Finish()
}

// withoutFailure returns log without the machine's line of a failed job. It would
// repeat the error that otad prints at its end.
func withoutFailure(log *slog.Logger) *slog.Logger { return slog.New(failureDropper{log.Handler()}) }

type failureDropper struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h failureDropper) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "the job failed" {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h failureDropper) WithAttrs(attrs []slog.Attr) slog.Handler {
	return failureDropper{h.Handler.WithAttrs(attrs)}
}

// logView is one line of the log for every tenth of the package.
type logView struct {
	log   *slog.Logger
	tenth int // the last one that was logged
}

func (v *logView) checkpoint(s fsm.Snapshot) {
	tenth := s.Progress / 10
	if s.State != fsm.Downloading || tenth == v.tenth {
		return
	}
	v.tenth = tenth
	v.log.Info("progress", "percent", s.Progress, "durable", s.Durable, "size", s.Size,
		"bytes_per_second", s.BytesPerSecond)
}

func (*logView) tick(fsm.Snapshot) {}

func (v *logView) ready(s fsm.Snapshot, sum console.Summary) {
	v.log.Info("package ready", "size", sum.Size, "resumed_from", sum.ResumedFrom,
		"seconds", sum.Elapsed.Round(time.Millisecond).Seconds(),
		"bytes_per_second", sum.BytesPerSecond(), "verified", sum.Verified)
}

func (*logView) finish() {}

func lineOf(s fsm.Snapshot) console.State {
	c := console.State{Name: netio.Printable(s.Name), Percent: s.Progress, Done: s.Received, Durable: s.Durable, Size: s.Size,
		BytesPerSecond: s.BytesPerSecond, Left: s.ETA, ResumedFrom: s.ResumedFrom}
	if s.State == fsm.Downloading && s.Size > 0 { // received is not durable: less than the whole
		c.Percent = max(s.Progress, min(99, int(100*float64(s.Received)/float64(s.Size))))
	}
	// A wait has a message of its own. The rate of before says nothing then.
	if s.BytesPerSecond == 0 || s.Message != string(fsm.Downloading) {
		c.Message = netio.Printable(s.Message)
	}
	return c
}

// digestNames names the digests of the job, all of which have matched when it is
// Ready.
func digestNames(j journal.Job) string {
	var names []string
	if j.MD5 != "" {
		names = append(names, "MD5")
	}
	if j.SHA256 != "" {
		names = append(names, "SHA-256")
	}
	return strings.Join(names, " and ")
}
