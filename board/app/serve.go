package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"

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
	listeners, err := listen(cfg.Listen, cfg.Serve.MetricsListen)
	if err != nil {
		return err
	}
	g, running := errgroup.WithContext(ctx)
	for i, l := range listeners {
		handler := deviceapi.NewMetrics(s.metrics.Handler())
		if i == 0 {
			handler = newAPI(cfg.Listen, s, tokens.commands, len(listeners) == 1)
		}
		g.Go(func() error { return deviceapi.Serve(running, l, handler, s.log) })
	}
	if callbacks != nil {
		g.Go(func() error { return callbacks.Run(running) })
	}
	g.Go(func() error { return s.updater.Run(running) })
	s.notify(systemd.NotifyReady("serving on " + listeners[0].Addr().String()))
	s.log.Info("serving", "listen", listeners[0].Addr().String(), "version", b.Version, "state_dir", s.dir.Path())
	<-running.Done()
	s.notify(systemd.NotifyStopping())
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ErrStopped
}

// listen listens on the API's address and, if it is another one, the metrics'.
func listen(addresses ...string) ([]net.Listener, error) {
	var out []net.Listener
	for i, addr := range addresses {
		if addr == "" || slices.Contains(addresses[:i], addr) {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			for _, l := range out {
				l.Close()
			}
			hint := "name another address"
			if errors.Is(err, syscall.EADDRINUSE) {
				hint = "stop what uses it or " + hint
			}
			return nil, fmt.Errorf("listen on %s: %w; %s", addr, errors.Unwrap(err), hint)
		}
		out = append(out, l)
	}
	return out, nil
}

func newAPI(addr string, s *services, token string, withMetrics bool) http.Handler {
	c := deviceapi.Config{Updater: s.updater, Token: token, Log: s.log, Addr: addr}
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
