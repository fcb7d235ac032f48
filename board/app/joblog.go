package app

import (
	"context"
	"log/slog"

	"otad/fsm"
)

// jobLog writes one line to the log when a job has ended. One goroutine at a
// time calls it.
type jobLog struct {
	log   *slog.Logger
	last  fsm.Snapshot // of the job; zero: there is none that could end
	ready jobID        // of the job that ended last, and was Ready; zero: another one began
}

type jobID struct{ name, version string }

// note takes each snapshot of a change, in order.
func (l *jobLog) note(s fsm.Snapshot) {
	if s.Stage != "" {
		return // it has ended before it is installed
	}
	if s.State != fsm.Verifying && s.State != fsm.Ready {
		l.ready = jobID{}
	} else if l.ready == (jobID{s.Name, s.Version}) {
		return // it has ended, and its package is digested once more
	}
	if l.last.Name != "" && (s.Name != l.last.Name || s.Version != l.last.Version) {
		l.end("cancelled")
	}
	s.Tries = max(s.Tries, l.last.Tries) // Ready has none
	l.last = s
	if s.State == fsm.Ready {
		l.ready = jobID{s.Name, s.Version}
	}
	if s.State == fsm.Ready || s.State == fsm.Failed && s.NextTry == 0 {
		l.end(s.State.Label())
	}
}

func (l *jobLog) end(result string) {
	s := l.last
	l.last = fsm.Snapshot{}
	level := slog.LevelInfo
	if s.State == fsm.Failed && result != "cancelled" {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, "job ended", "result", result, "name", s.Name, "version", s.Version, "size", s.Size,
		"durable", s.Durable, "seconds", s.Stats.Seconds, "failed_tries", s.Tries, "retries", s.Stats.Retries,
		"resumes", s.Stats.Resumes, "received", s.Stats.Received, "discarded", s.Stats.Discarded, "host", s.Host)
}
