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
	"otad/board/installer"
	"otad/board/systemd"
	"otad/fsm"
	"otad/netio"
)

// observers take each snapshot of the machine, in order. The machine's goroutine
// calls them, and serve sets the fields before that one runs.
type observers struct {
	jobs      jobLog
	unit      unitStatus
	callbacks *deviceapi.Callbacks // nil: nowhere to call
	file      *metricsFile         // nil: none is written
	install   *installer.Installer // nil: no command
}

func (o *observers) note(now fsm.Snapshot) {
	o.jobs.note(now)
	o.unit.note(now)
	if o.callbacks != nil {
		o.callbacks.Notify(now)
	}
	if o.file != nil {
		o.file.note(now)
	}
	if o.install != nil {
		o.install.Wake(now)
	}
}

// serve runs the daemon until ctx ends: the updater, its API and its callbacks.
func serve(ctx context.Context, p *Process, cfg *config.Config, b Build, stderr *os.File) error {
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
	o := &observers{jobs: jobLog{log: log}, unit: unitStatus{next: make(chan string, 1)}}
	s, err := open(cfg, b, log, queue, func(c *fsm.Config) {
		c.HandOff = len(cfg.Serve.Install.Command) > 0
		c.TryAgain, c.KeepOutbox = cfg.Serve.TryAgain, cfg.Serve.CallbackURL != ""
		c.OnChange = o.note
	})
	if err != nil {
		return err
	}
	defer s.close()
	if h, ok := s.updater.Handover(); ok {
		o.jobs.ready = jobID{h.Job.Name, h.Job.Version}
	}
	s.warn(cfg.Warnings)
	if cfg.Serve.CallbackURL != "" {
		if o.callbacks, err = newCallbacks(cfg, tokens.callback, s); err != nil {
			return err
		}
	}
	if s.install, err = newInstaller(cfg.Serve.Install, s); err != nil {
		return err
	}
	o.install = s.install
	if cfg.Serve.MetricsFile != "" {
		o.file = newMetricsFile(cfg.Serve.MetricsFile, s)
	}
	doors, err := openDoors(cfg.Listen, cfg.Serve.MetricsListen)
	if err != nil {
		return err
	}
	doors.warn(log, tokens.commands)
	o.unit.idle = netio.Printable("serving on " + doors.String())
	g, running := errgroup.WithContext(ctx)
	setToken := s.serveAPI(running, g, cfg, b.Version, doors, tokens.commands)
	reloads := &reloader{process: p, services: s, build: b, level: level, token: tokens.commands, setToken: setToken, now: cfg}
	g.Go(func() error { return reloads.run(running) })
	o.run(running, g)
	g.Go(func() error { return p.machine(running, s.updater.Run) })
	if s.install != nil {
		g.Go(func() error { return p.handOff(running, s.install, cfg.Serve.Install.Grace) })
	}
	s.notify(systemd.NotifyReady(o.unit.idle))
	s.log.Info("serving", "listen", doors.String(), "version", b.Version, "state_dir", s.dir.Path())
	<-running.Done()
	s.notify(systemd.NotifyStopping())
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	s.log.Info("stopped")
	return ErrStopped
}

// run starts the goroutines that pass on what was noted.
func (o *observers) run(ctx context.Context, g *errgroup.Group) {
	if o.file != nil {
		g.Go(func() error { return o.file.run(ctx) })
	}
	if o.callbacks != nil {
		g.Go(func() error { return o.callbacks.Run(ctx) })
	}
	g.Go(func() error { return o.unit.run(ctx) })
}

// serveAPI serves the API and the metrics at d until ctx ends. The function that
// it returns replaces the token that commands need; any goroutine may call it.
func (s *services) serveAPI(ctx context.Context, g *errgroup.Group, cfg *config.Config, version string, d doors, token string) func(token string) {
	ownMetrics := cfg.Serve.MetricsListen != "" && !slices.Contains(cfg.Listen, cfg.Serve.MetricsListen)
	served := new(api)
	setToken := func(token string) { served.replace(newAPI(d.names(cfg.Listen), s, version, token, !ownMetrics)) }
	setToken(token)
	for _, l := range d.api {
		g.Go(func() error { return deviceapi.Serve(ctx, l, served, s.log) })
	}
	if ownMetrics {
		m := &metricsListener{addr: cfg.Serve.MetricsListen, handler: deviceapi.NewMetrics(s.metrics.Handler()), log: s.log}
		first := d.metrics
		if first == nil {
			first = m.listen(ctx)
		}
		g.Go(func() error { return m.run(ctx, first) })
	}
	return setToken
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
