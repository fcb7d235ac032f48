package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"otad/fsm"
)

// metricsFileEvery is how old the metrics file gets: Prometheus scrapes every 15
// seconds to a minute.
const metricsFileEvery = 15 * time.Second

// metricsFile keeps the metrics in a file, for a board that has a node_exporter
// and no port for otad.
type metricsFile struct {
	path  string
	write func(path string) error // replaces the file
	log   *slog.Logger
	wake  chan struct{} // of capacity 1: there was a transition

	state   fsm.State    // newest in note: of the goroutines that report changes, one at a time
	stage   fsm.Stage    // as state
	trouble fsm.Distance // of run's goroutine, as the next field
	failed  bool
}

func newMetricsFile(path string, s *services) *metricsFile {
	return &metricsFile{path: path, write: s.metrics.WriteFile, log: s.log, wake: make(chan struct{}, 1)}
}

// note wakes run after a transition. It never blocks.
func (m *metricsFile) note(now fsm.Snapshot) {
	if now.State == m.state && now.Stage == m.stage {
		return
	}
	m.state, m.stage = now.State, now.Stage
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// run writes the file until ctx ends. Then it removes the file: the series of a
// daemon that has been stopped are not to be scraped for ever.
func (m *metricsFile) run(ctx context.Context) error {
	tick := time.NewTicker(metricsFileEvery)
	defer tick.Stop()
	for {
		m.update()
		select {
		case <-tick.C:
		case <-m.wake:
		case <-ctx.Done():
			if err := os.Remove(m.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				m.log.Warn("the metrics file stays behind", "err", err)
			}
			return nil
		}
	}
}

func (m *metricsFile) update() {
	err := m.write(m.path)
	switch {
	case err == nil && m.failed:
		m.log.Info("the metrics file is written again", "path", m.path)
		m.trouble, m.failed = fsm.Distance{}, false
	case err != nil:
		m.failed = true
		if times, due := m.trouble.Due("write", time.Now()); due {
			m.log.Warn("the metrics file cannot be written: -metrics-file has to be in a directory that otad may write to", "err", err, "times", times)
		}
	}
}
