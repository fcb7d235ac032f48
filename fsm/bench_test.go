package fsm_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/netio"
	"otad/netio/origintest"
)

// BenchmarkFetch is a whole package of 64 MiB, from the request to Ready, over
// loopback, with a checkpoint each MiB.
func BenchmarkFetch(b *testing.B) {
	object := origintest.Object{Size: 64 << 20, Seed: 1}
	content := make([]byte, object.Size)
	object.ReadAt(content, 0)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(content))
	}))
	defer origin.Close()
	dir := b.TempDir()
	ready := make(chan fsm.Snapshot, 1)
	u, closeAll := plainUpdater(b, dir, func(s fsm.Snapshot) {
		if s.State == fsm.Ready || s.State == fsm.Failed {
			ready <- s
		}
	})
	defer closeAll()
	job := journal.Job{URL: origin.URL, Name: "u.bin", Size: object.Size, MD5: object.MD5()}
	b.SetBytes(object.Size)
	for b.Loop() {
		if err := u.Start(b.Context(), job); err != nil {
			b.Fatal(err)
		}
		if s := <-ready; s.State != fsm.Ready {
			b.Fatal(s.Error)
		}
		if err := os.Remove(filepath.Join(dir, job.Name)); err != nil {
			b.Fatal(err)
		}
	}
}

// plainUpdater runs otad in dir as it is, with nobody in between.
func plainUpdater(tb testing.TB, dir string, observe func(fsm.Snapshot)) (_ *fsm.Updater, closeAll func()) {
	state, err := storage.OpenStateDir(dir)
	must(tb, err)
	j, err := journal.Open(state.Dir(), journal.Options{})
	must(tb, err)
	fetcher, err := netio.New(netio.Config{})
	must(tb, err)
	u, err := fsm.New(fsm.Deps{Journal: j, StateDir: plainStore{state}, Source: fsm.SourceOf(fetcher), Metrics: newMetrics(), Log: slog.New(slog.DiscardHandler)},
		fsm.Config{Checkpoint: 1 << 20, OnChange: observe, AllocBuffer: storage.MapBuffer})
	must(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() { gone <- u.Run(ctx) }()
	return u, func() {
		cancel()
		must(tb, <-gone)
		fetcher.Close()
		must(tb, j.Close())
		must(tb, state.Close())
	}
}

type plainStore struct{ *storage.StateDir }

func (s plainStore) OpenPartial(name string) (fsm.Partial, error) {
	return s.StateDir.OpenPartial(name)
}

func (s plainStore) Published(name string) (fsm.Published, error) { return s.StateDir.Published(name) }
