package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"otad/board/config"
	"otad/board/installer"
	"otad/board/storage"
	"otad/fsm"
	"otad/hashing/signature"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// services are the parts that serve and fetch share, in the order of opening.
type services struct {
	log     *slog.Logger
	dir     *storage.StateDir
	slots   *storage.Slots
	outputs config.Outputs
	journal *journal.Journal
	origin  *origin
	metrics *metrics.Metrics
	updater *fsm.Updater
	install *installer.Installer // nil: nothing is handed over
	pulse   *pulse
	trust   atomic.Pointer[signature.Trust] // never nil after open
}

// open opens the services. change sets the fields of the machine's configuration
// that depend on the command.
func open(cfg *config.Config, b Build, log *slog.Logger, queue *logQueue, change func(*fsm.Config)) (_ *services, err error) {
	s := &services{log: log, origin: new(origin), pulse: newPulse(), metrics: newMetrics(b), outputs: cfg.Output}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.metrics.LogLinesDropped(func() float64 { return float64(queue.lost()) })
	fetcher, err := newFetcher(cfg, b)
	if err != nil {
		return nil, err
	}
	s.origin.replace(fetcher)
	trust, err := readTrust(cfg)
	if err != nil {
		return nil, err
	}
	s.trust.Store(&trust)
	logTrust(log, trust)
	if s.dir, err = storage.OpenStateDir(cfg.StateDir); err != nil {
		return nil, err
	}
	s.slots = storage.NewSlots(s.dir, devices(cfg)...)
	// The partial files go with a damaged journal: without it, nothing shows which
	// of their bytes are good. They go first, because the new one needs space.
	if s.journal, err = journal.Open(s.dir.Dir(), journal.Options{
		OnCommit: s.metrics.JournalCommit, BeforeQuarantine: func() error { return s.removePartialsExcept() },
	}); err != nil {
		return nil, err
	}
	s.reportRecovery()
	if err = s.tidy(); err != nil {
		return nil, err
	}
	if cfg.Machine.Readback {
		if err := s.dir.CheckReadback(); err != nil {
			log.Warn("-readback reads what the memory holds, and not what the disk does", "err", err)
		}
	}
	s.metrics.StorageFree(func() float64 {
		free, err := s.dir.Free()
		if err != nil {
			s.log.Debug("free space unknown", "err", err)
			return math.NaN()
		}
		return float64(free)
	})
	machine := cfg.Machine
	machine.Pulse, machine.PulseEvery = s.pulse.beat, s.pulse.every()
	machine.AllocBuffer, machine.Trust = storage.MapBuffer, s.trusts
	machine.Boot, machine.Uptime = boot(), uptime
	machine.Held = s.origin.heldOrCut(held(cfg.HoldFile, log))
	change(&machine)
	s.updater, err = fsm.New(fsm.Deps{
		Journal: watchedJournal{s.journal, s.pulse}, StateDir: stateDir{s.dir, s.pulse, s.slots, s.journal.Record}, Source: fsm.SourceOf(s.origin), Metrics: s.metrics, Log: s.log,
	}, machine)
	return s, err
}

// held returns the function that reports whether the hold file exists. A file
// that cannot be looked up counts as there: a wrong path is then noticed, and
// a metered link is not used by mistake.
func held(path string, log *slog.Logger) func() bool {
	if path == "" {
		return nil
	}
	var warn sync.Once
	return func() bool {
		_, err := os.Lstat(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			warn.Do(func() {
				log.Warn("the hold file cannot be looked up, which holds otad as the file itself does", "err", err)
			})
		}
		return !errors.Is(err, fs.ErrNotExist)
	}
}

func (s *services) close() {
	if s.journal != nil {
		if err := s.journal.Close(); err != nil {
			s.log.Warn("closing the journal", "err", err)
		}
	}
	if s.dir != nil {
		s.dir.Close()
	}
	if f := s.origin.fetcher.Load(); f != nil {
		f.Close()
	}
}

// warn logs and counts the settings that are ignored.
func (s *services) warn(ignored []string) {
	s.metrics.ConfigWarnings(len(ignored))
	for _, problem := range ignored {
		s.log.Warn("a setting is ignored", "problem", problem)
	}
}

// reportRecovery logs and counts in which condition the journal was found.
func (s *services) reportRecovery() {
	found := s.journal.Recovery()
	s.metrics.JournalRecovery(metrics.Recovery(found.Result))
	switch found.Result {
	case journal.SetAside:
		s.log.Error("the journal was damaged and has been set aside; starting clean", "dir", s.dir.Path(), "reason", found.Reason)
	case journal.Rebuilt:
		s.log.Warn("a new file was made of what the journal holds; nothing is lost", "dir", s.dir.Path(), "reason", found.Reason)
	case journal.Newer:
		s.log.Warn("the journal is of a newer otad; what this one can use of it is kept", "reason", found.Reason)
	}
}

func newMetrics(b Build) *metrics.Metrics {
	labels := metrics.Labels{Failures: fsm.Failures(), Signatures: fsm.SignatureResults()}
	for _, s := range fsm.States() {
		labels.States = append(labels.States, s.Label())
	}
	for _, t := range fsm.Transitions() {
		labels.Transitions = append(labels.Transitions, [2]string{t[0].Label(), t[1].Label()})
	}
	for _, reason := range netio.Reasons() {
		labels.RetryReasons = append(labels.RetryReasons, string(reason))
	}
	return metrics.New(labels, metrics.BuildInfo{
		Version: b.Version, Revision: b.Revision, GoVersion: runtime.Version(), GoArch: runtime.GOARCH,
	})
}

// stateDir is the state directory with the machine's types of files, and the
// devices in place of files for a job with an output.
type stateDir struct {
	dir    *storage.StateDir
	pulse  *pulse
	slots  *storage.Slots
	record func() journal.Record
}

func (s stateDir) OpenPartial(name string) (fsm.Partial, error) {
	if output := s.outputOf(name); output != "" {
		slot, err := s.slots.OpenPartial(name, output)
		if err != nil {
			return nil, err
		}
		return watchedSlot{watchedPartial{slot, s.pulse}, slot}, nil
	}
	if err := s.slots.Release(name); err != nil { // of an earlier job of that name
		return nil, err
	}
	file, err := s.dir.OpenPartial(name)
	if err != nil {
		return nil, err
	}
	return watchedPartial{file, s.pulse}, nil
}

func (s stateDir) RemovePartial(name string) error {
	if err := s.slots.Release(name); err != nil {
		return err
	}
	return s.dir.RemovePartial(name)
}

func (s stateDir) Published(name string) (fsm.Published, error) {
	if output := s.outputOf(name); output != "" {
		return s.slots.Published(name, output)
	}
	return s.dir.Published(name)
}

// RemovePublished never deletes what is on a device: a job with an output makes no
// file of its name.
func (s stateDir) RemovePublished(name string, isIt func(fs.FileInfo) bool) (bool, error) {
	return s.dir.RemovePublished(name, isIt)
}
func (s stateDir) Writable() error      { return s.dir.Writable() }
func (s stateDir) Free() (int64, error) { return s.dir.Free() }
