package fsm_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
	"otad/netio/origintest"
)

// dir is the state directory as the machine takes it.
type dir struct{ at *storage.StateDir }

func (d dir) OpenPartial(name string) (fsm.Partial, error) { return d.at.OpenPartial(name) }
func (d dir) RemovePartial(name string) error              { return d.at.RemovePartial(name) }
func (d dir) Published(name string) (fsm.Published, error) { return d.at.Published(name) }
func (d dir) RemovePublished(name string, isIt func(fs.FileInfo) bool) (bool, error) {
	return d.at.RemovePublished(name, isIt)
}
func (d dir) Writable() error      { return d.at.Writable() }
func (d dir) Free() (int64, error) { return d.at.Free() }

// opened ends the program on an error.
func opened[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Example takes one job from its start to Ready, as the daemon does.
func Example() {
	object := origintest.Object{Size: 3 << 20, Seed: 1}
	origin := opened(origintest.Start(origintest.Config{Object: object}))
	defer origin.Close()
	path := opened(os.MkdirTemp("", "otad"))
	defer os.RemoveAll(path)

	state := opened(storage.OpenStateDir(path))
	defer state.Close()
	record := opened(journal.Open(state.Dir(), journal.Options{}))
	defer record.Close()
	fetcher := opened(netio.New(netio.Config{}))
	defer fetcher.Close()
	ready := make(chan fsm.Snapshot, 1)
	updater := opened(fsm.New(fsm.Deps{
		Journal: record, StateDir: dir{state}, Source: fsm.SourceOf(fetcher),
		Metrics: metrics.New(metrics.Labels{}, metrics.BuildInfo{}), Log: slog.New(slog.DiscardHandler),
	}, fsm.Config{Checkpoint: 1 << 20, Retries: 3, OnChange: func(s fsm.Snapshot) {
		if s.State == fsm.Ready {
			ready <- s
		}
	}}))

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- updater.Run(ctx) }()
	if err := updater.Start(ctx, journal.Job{Name: "u.bin", URL: origin.URL(), MD5: object.MD5()}); err != nil {
		panic(err)
	}
	s := <-ready
	fmt.Println(s.State, s.Name, s.Durable, "bytes", s.Progress, "%")
	stop()
	fmt.Println(<-ended)
	// Output:
	// Ready u.bin 3145728 bytes 100 %
	// <nil>
}
