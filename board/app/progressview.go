package app

import (
	"log/slog"
	"os"

	"otad/board/config"
	"otad/board/console"
	"otad/fsm"
)

// view is how fetch shows its progress.
type view interface {
	checkpoint(fsm.Snapshot) // after each checkpoint and transition
	tick(fsm.Snapshot)       // a few times a second
	finish()
}

// newView chooses the view that fits, and the log that goes with it.
func newView(cfg *config.Config, stderr *os.File) (*slog.Logger, view) {
	switch {
	case cfg.Fetch.Quiet:
		return slog.New(slog.DiscardHandler), quiet{}
	case console.IsTerminal(stderr):
		// The line tells what the log would; warnings go above it.
		cfg.LogLevel = max(cfg.LogLevel, slog.LevelWarn)
		b := bar{console.New(stderr)}
		return newLog(cfg, b), b
	default:
		log := newLog(cfg, stderr)
		return log, &lines{log: log}
	}
}

// quiet leaves it to the exit code and the one line of an error.
type quiet struct{}

func (quiet) checkpoint(fsm.Snapshot) {}
func (quiet) tick(fsm.Snapshot)       {}
func (quiet) finish()                 {}

// bar is one line on a terminal.
type bar struct{ *console.Bar }

func (b bar) checkpoint(fsm.Snapshot) {}
func (b bar) tick(s fsm.Snapshot)     { b.Draw(shown(s)) }
func (b bar) finish()                 { b.Finish("") }

// lines is a line of the log for every tenth of the package.
type lines struct {
	log   *slog.Logger
	tenth int // the last one that was told
}

func (l *lines) checkpoint(s fsm.Snapshot) {
	tenth := s.Progress / 10
	if s.State != fsm.Downloading || tenth == l.tenth {
		return
	}
	l.tenth = tenth
	l.log.Info("progress", "percent", s.Progress, "durable", s.Durable, "size", s.Size, "bytes_per_second", s.BytesPerSecond)
}

func (*lines) tick(fsm.Snapshot) {}
func (*lines) finish()           {}

func shown(s fsm.Snapshot) console.State {
	c := console.State{Name: s.Name, Done: s.Durable, Size: s.Size, BytesPerSecond: s.BytesPerSecond, Left: s.ETA, ResumedFrom: s.ResumedFrom}
	if s.State != fsm.Downloading || s.BytesPerSecond == 0 {
		c.Message = s.Message
	}
	return c
}
