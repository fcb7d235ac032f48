package app

import (
	"context"
	"errors"
	"net/http"
	"os"

	"golang.org/x/sync/errgroup"

	"otad/board/config"
	"otad/board/deviceapi"
	"otad/board/systemd"
	"otad/fsm"
)

// serve runs the daemon until ctx ends: the updater, its API and its callbacks.
func serve(ctx context.Context, cfg *config.Config, b Build, stderr *os.File) error {
	var callbacks *deviceapi.Callbacks
	log := newLog(cfg, stderr)
	tokens, err := readTokens(cfg.Serve, log)
	if err != nil {
		return err
	}
	jobs := jobLog{log: log}
	s, err := open(cfg, b, log, func(c *fsm.Config) {
		c.TryAgain, c.KeepOutbox = cfg.Serve.TryAgain, cfg.Serve.CallbackURL != ""
		c.OnChange = func(now fsm.Snapshot) {
			jobs.note(now)
			if callbacks != nil {
				callbacks.Notify(now)
			}
		}
	})
	if err != nil {
		return err
	}
	defer s.close()
	if cfg.Serve.CallbackURL != "" {
		if callbacks, err = newCallbacks(cfg.Serve.CallbackURL, tokens.callback, s); err != nil {
			return err
		}
	}
	doors, err := openDoors(cfg.Listen, cfg.Serve.MetricsListen)
	if err != nil {
		return err
	}
	doors.warn(log, tokens.commands)
	g, running := errgroup.WithContext(ctx)
	api := newAPI(doors.names(cfg.Listen), s, tokens.commands, doors.metrics == nil)
	for _, l := range doors.api {
		g.Go(func() error { return deviceapi.Serve(running, l, api, s.log) })
	}
	if doors.metrics != nil {
		h := deviceapi.NewMetrics(s.metrics.Handler())
		g.Go(func() error { return deviceapi.Serve(running, doors.metrics, h, s.log) })
	}
	if callbacks != nil {
		g.Go(func() error { return callbacks.Run(running) })
	}
	g.Go(func() error { return s.updater.Run(running) })
	s.notify(systemd.NotifyReady("serving on " + doors.String()))
	s.log.Info("serving", "listen", doors.String(), "version", b.Version, "state_dir", s.dir.Path())
	<-running.Done()
	s.notify(systemd.NotifyStopping())
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ErrStopped
}

func newAPI(addrs []string, s *services, token string, withMetrics bool) http.Handler {
	c := deviceapi.Config{Updater: s.updater, Token: token, Log: s.log, Addrs: addrs}
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
