// Package command is otad's commands: it opens the rooms in order, joins them
// and waits. What they do is decided in the rooms.
package app

import (
	"io"
	"log/slog"
	"runtime"

	"otad/board/config"
	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// rooms are the parts that serve and fetch share, opened in order.
type rooms struct {
	log     *slog.Logger
	dir     *storage.StateDir
	journal *journal.Journal
	source  *netio.Fetcher
	metrics *metrics.Metrics
	updater *fsm.Updater
}

// open opens the rooms. change completes the machine's configuration.
func open(cfg *config.Config, b Build, log *slog.Logger, change func(*fsm.Config)) (_ *rooms, err error) {
	r := &rooms{log: log, metrics: newMetrics(b)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.source, err = netio.New(sourceConfig(cfg.Transfer, b)); err != nil {
		return nil, err
	}
	if r.dir, err = storage.OpenStateDir(cfg.StateDir); err != nil {
		return nil, err
	}
	// Without the journal that they belonged to, partial files are bytes that
	// nobody can vouch for.
	if r.journal, err = journal.Open(cfg.StateDir, journal.Options{
		OnCommit: r.metrics.JournalCommit, BeforeQuarantine: r.dir.RemoveAllPartials,
	}); err != nil {
		return nil, err
	}
	r.recovered()
	r.metrics.StorageFree(func() float64 {
		free, err := r.dir.Free()
		if err != nil {
			r.log.Debug("free space unknown", "err", err)
		}
		return float64(free)
	})
	machine := machineConfig(cfg.Transfer)
	change(&machine)
	r.updater, err = fsm.New(fsm.Deps{Journal: r.journal, StateDir: store{r.dir}, Source: fsm.SourceOf(r.source), Metrics: r.metrics, Log: r.log}, machine)
	return r, err
}

func (r *rooms) close() {
	if r.journal != nil {
		if err := r.journal.Close(); err != nil {
			r.log.Warn("closing the journal", "err", err)
		}
	}
	if r.dir != nil {
		r.dir.Close()
	}
	if r.source != nil {
		r.source.Close()
	}
}

// recovered tells how the journal was found.
func (r *rooms) recovered() {
	found := r.journal.Recovery()
	r.metrics.JournalRecovery(metrics.Recovery(found.Result))
	if found.Result == journal.SetAside {
		r.log.Error("the journal was damaged and has been set aside; starting clean", "dir", r.dir.Path(), "reason", found.Reason)
	}
}

func newLog(cfg *config.Config, to io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(to, options))
	}
	return slog.New(slog.NewTextHandler(to, options))
}

func newMetrics(b Build) *metrics.Metrics {
	labels := metrics.Labels{Failures: fsm.Failures()}
	for _, s := range fsm.States() {
		labels.States = append(labels.States, s.Label())
	}
	for _, t := range fsm.Transitions() {
		labels.Transitions = append(labels.Transitions, [2]string{t[0].Label(), t[1].Label()})
	}
	for _, reason := range netio.Reasons() {
		labels.RetryReasons = append(labels.RetryReasons, string(reason))
	}
	return metrics.New(labels, metrics.BuildInfo{Version: b.Version, Revision: b.Revision, GoVersion: runtime.Version(), GoArch: runtime.GOARCH})
}

func sourceConfig(t config.Transfer, b Build) netio.Config {
	return netio.Config{
		ConnectTimeout: t.ConnectTimeout, HeaderTimeout: t.HeaderTimeout, ReadTimeout: t.ReadTimeout,
		RetryAfterMax: t.RetryAfterMax, RetryStatus: t.RetryStatus, RateLimit: t.RateLimit, AllowHTTP: t.AllowHTTP,
		CAFile: t.CAFile, ClientCert: t.ClientCert, ClientKey: t.ClientKey,
		UserAgent: "otad/" + b.Version, BuildTime: b.Time,
	}
}

func machineConfig(t config.Transfer) fsm.Config {
	return fsm.Config{
		Checkpoint: t.Checkpoint, Retries: t.Retries, NetworkWait: t.NetworkWait,
		MinFree: t.MinFree, Readback: t.Readback, AllocBuffer: storage.MapBuffer,
	}
}

// store shows the state directory as the machine wants to see it.
type store struct{ *storage.StateDir }

func (s store) OpenPartial(name string) (fsm.Partial, error) { return s.StateDir.OpenPartial(name) }
func (s store) Published(name string) (fsm.Published, error) { return s.StateDir.Published(name) }
