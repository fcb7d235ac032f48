package app

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
)

func TestMetricsFileIsWrittenAtTransitionsAndEvery15Seconds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "otad.prom")
	synctest.Test(t, func(t *testing.T) {
		var written []time.Duration
		begin := time.Now()
		m := &metricsFile{path: path, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1), write: func(p string) error {
			written = append(written, time.Since(begin))
			return os.WriteFile(p, []byte("ota_retries 1\n"), 0o644)
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.run(ctx) }()
		time.Sleep(4 * time.Second)
		m.note(fsm.Snapshot{State: fsm.Downloading})
		synctest.Wait()
		m.note(fsm.Snapshot{State: fsm.Downloading, Durable: 1 << 20}) // a checkpoint: no transition
		time.Sleep(30 * time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []time.Duration{0, 4 * time.Second, 15 * time.Second, 30 * time.Second}
		if len(written) != len(want) {
			t.Fatalf("written at %v, want %v", written, want)
		}
		for i := range want {
			if written[i] != want[i] {
				t.Errorf("written at %v, want %v", written, want)
			}
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file of a daemon that has ended: %v", err)
		}
	})
}

func TestMetricsFileThatCannotBeWrittenStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var broken atomic.Bool
		broken.Store(true)
		m := &metricsFile{path: filepath.Join(t.TempDir(), "none"), log: slog.New(slog.NewTextHandler(&log, nil)), wake: make(chan struct{}, 1), write: func(string) error {
			if broken.Load() {
				return fs.ErrPermission
			}
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.run(ctx) }()
		time.Sleep(24 * time.Hour)
		broken.Store(false)
		time.Sleep(time.Minute)
		cancel()
		<-ended
		lines := strings.Count(log.String(), "\n")
		if lines > 40 || !strings.Contains(log.String(), "written again") {
			t.Errorf("%d lines of a day:\n%s", lines, log.String())
		}
	})
}
