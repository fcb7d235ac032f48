package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"otad/board/config"
	"otad/board/deviceapi"
	"otad/board/systemd"
	"otad/fsm"
	"otad/netio"
)

// serve runs the daemon until ctx ends: the updater, its API and its callbacks.
func serve(ctx context.Context, p *Process, cfg *config.Config, b Build, stderr *os.File) error {
	var callbacks *deviceapi.Callbacks
	var file *metricsFile
	level := new(slog.LevelVar)
	level.Set(cfg.LogLevel)
	queue := newLogQueue(stderr)
	defer queue.close(flushLimit)
	log := newLog(cfg, level, queue, queue, readByJournald(stderr))
	tokens, err := readTokens(cfg.Serve, log)
	if err != nil {
		return err
	}
	if err := checkCommand(cfg.Serve.Install); err != nil {
		return err
	}
	jobs := jobLog{log: log}
	unit := unitStatus{next: make(chan string, 1)}
	var s *services
	s, err = open(cfg, b, log, queue, func(c *fsm.Config) {
		c.HandOff = len(cfg.Serve.Install.Command) > 0
		c.TryAgain, c.KeepOutbox = cfg.Serve.TryAgain, cfg.Serve.CallbackURL != ""
		c.OnChange = func(now fsm.Snapshot) {
			jobs.note(now)
			unit.note(now)
			if callbacks != nil {
				callbacks.Notify(now)
			}
			if file != nil {
				file.note(now)
			}
			if s.install != nil {
				s.install.Wake(now)
			}
		}
	})
	if err != nil {
		return err
	}
	defer s.close()
	if h, ok := s.updater.Handover(); ok {
		jobs.ready = jobID{h.Job.Name, h.Job.Version}
	}
	s.warn(cfg.Warnings)
	if cfg.Serve.CallbackURL != "" {
		if callbacks, err = newCallbacks(cfg, tokens.callback, s); err != nil {
			return err
		}
	}
	if s.install, err = newInstaller(cfg.Serve.Install, s); err != nil {
		return err
	}
	if cfg.Serve.MetricsFile != "" {
		file = newMetricsFile(cfg.Serve.MetricsFile, s)
	}
	doors, err := openDoors(cfg.Listen, cfg.Serve.MetricsListen)
	if err != nil {
		return err
	}
	doors.warn(log, tokens.commands)
	ownMetrics := cfg.Serve.MetricsListen != "" && !slices.Contains(cfg.Listen, cfg.Serve.MetricsListen)
	served := new(api)
	setToken := func(token string) { served.replace(newAPI(doors.names(cfg.Listen), s, b.Version, token, !ownMetrics)) }
	setToken(tokens.commands)
	unit.idle = netio.Printable("serving on " + doors.String())
	g, running := errgroup.WithContext(ctx)
	for _, l := range doors.api {
		g.Go(func() error { return deviceapi.Serve(running, l, served, s.log) })
	}
	if ownMetrics {
		m := &metricsListener{addr: cfg.Serve.MetricsListen, handler: deviceapi.NewMetrics(s.metrics.Handler()), log: s.log}
		first := doors.metrics
		if first == nil {
			first = m.listen(running)
		}
		g.Go(func() error { return m.run(running, first) })
	}
	if file != nil {
		g.Go(func() error { return file.run(running) })
	}
	if callbacks != nil {
		g.Go(func() error { return callbacks.Run(running) })
	}
	g.Go(func() error { return p.machine(running, s.updater.Run) })
	if s.install != nil {
		g.Go(func() error { return p.handOff(running, s.install, cfg.Serve.Install.Grace) })
	}
	reloads := &reloader{process: p, services: s, build: b, level: level, token: tokens.commands, setToken: setToken, now: cfg}
	g.Go(func() error { return reloads.run(running) })
	g.Go(func() error { return unit.run(running) })
	s.notify(systemd.NotifyReady(unit.idle))
	s.log.Info("serving", "listen", doors.String(), "version", b.Version, "state_dir", s.dir.Path())
	<-running.Done()
	s.notify(systemd.NotifyStopping())
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	s.log.Info("stopped")
	return ErrStopped
}

func newAPI(addrs []string, s *services, version, token string, withMetrics bool) http.Handler {
	c := deviceapi.Config{Updater: living{s.updater, s.pulse}, Token: token, Version: version, Log: s.log, Addrs: addrs, StateDir: s.dir.Identity(), Output: s.outputs.DeviceOf}
	if s.install != nil {
		c.Installer = s.install
	}
	if withMetrics {
		c.Metrics = s.metrics.Handler()
	}
	return deviceapi.New(c)
}

// notify logs the error of a message to the init system.
func (s *services) notify(err error) {
	if err != nil {
		s.log.Warn("the init system cannot be notified", "err", err)
	}
}
