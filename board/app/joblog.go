package app

import (
	"log/slog"
	"time"

	"otad/fsm"
)

// jobLog writes one line to the log when a job has ended. One goroutine at a
// time calls it.
type jobLog struct {
	log   *slog.Logger
	again fsm.TryAgain
	last  fsm.Snapshot // of the job; zero: there is none that could end
	began time.Time    // of this process with the job
}

// note takes each snapshot of a change, in order.
func (l *jobLog) note(s fsm.Snapshot) {
	if l.last.Name != "" && (s.Name != l.last.Name || s.Version != l.last.Version) {
		l.end("cancelled")
	}
	if l.last.Name == "" {
		l.began = time.Now()
	}
	l.last = s
	if l.isOver(s) {
		l.end(s.State.Label())
	}
}

// isOver reports whether the job has ended and is not started again by itself.
func (l *jobLog) isOver(s fsm.Snapshot) bool {
	switch {
	case s.State != fsm.Failed:
		return s.State == fsm.Ready
	case l.again.First == 0, s.Reason == fsm.URLExpired, s.Reason == fsm.CrashLoop:
		return true
	default:
		return s.Code != fsm.DownloadFailed && s.Code != fsm.DiskFull
	}
}

func (l *jobLog) end(result string) {
	s := l.last
	l.last = fsm.Snapshot{}
	l.log.Info("job ended", "result", result, "name", s.Name, "version", s.Version, "size", s.Size,
		"durable", s.Durable, "seconds", time.Since(l.began).Round(time.Millisecond).Seconds(),
		"failed_tries", s.Tries, "retries", s.Retries, "resumed_from", s.ResumedFrom)
}
