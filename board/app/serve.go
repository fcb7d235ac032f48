package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"otad/board/config"
	"otad/board/deviceapi"
	"otad/board/systemd"
	"otad/fsm"
	"otad/journal"
	"otad/metrics"
)

// serve runs the daemon until ctx ends: the updater, its API and its callbacks.
func serve(ctx context.Context, p *Process, cfg *config.Config, b Build, stderr *os.File) error {
	token, err := readToken(cfg.Serve.TokenFile)
	if err != nil {
		return err
	}
	var callbacks *deviceapi.Callbacks
	level := new(slog.LevelVar)
	level.Set(cfg.LogLevel)
	queue := newLogQueue(stderr)
	defer queue.close(flushLimit)
	log := newLog(cfg, level, queue, queue, readByJournald(stderr))
	jobs := jobLog{log: log}
	unit := unitStatus{next: make(chan string, 1)}
	s, err := open(cfg, b, log, queue, func(c *fsm.Config) {
		c.TryAgain, c.KeepOutbox = cfg.Serve.TryAgain, cfg.Serve.CallbackURL != ""
		c.OnChange = func(now fsm.Snapshot) {
			jobs.note(now)
			unit.note(now)
			if callbacks != nil {
				callbacks.Notify(now)
			}
		}
	})
	if err != nil {
		return err
	}
	defer s.close()
	s.warn(cfg.Warnings)
	if cfg.Serve.CallbackURL != "" {
		if callbacks, err = newCallbacks(cfg.Serve.CallbackURL, s); err != nil {
			return err
		}
	}
	listeners, err := listen(cfg.Listen)
	if err != nil {
		return err
	}
	ownMetrics := cfg.Serve.MetricsListen != "" && cfg.Serve.MetricsListen != cfg.Listen
	served := new(api)
	setToken := func(token string) { served.replace(newAPI(cfg.Listen, s, token, !ownMetrics)) }
	setToken(token)
	unit.idle = "serving on " + listeners[0].Addr().String()
	g, running := errgroup.WithContext(ctx)
	for _, l := range listeners {
		g.Go(func() error { return deviceapi.Serve(running, l, served, s.log) })
	}
	if ownMetrics {
		m := &metricsListener{addr: cfg.Serve.MetricsListen, handler: deviceapi.NewMetrics(s.metrics.Handler()), log: s.log}
		first := m.listen(running)
		g.Go(func() error { return m.run(running, first) })
	}
	if callbacks != nil {
		g.Go(func() error { return callbacks.Run(running) })
	}
	g.Go(func() error { return p.machine(running, s.updater.Run) })
	reloads := &reloader{process: p, services: s, build: b, level: level, token: token, setToken: setToken, now: cfg}
	g.Go(func() error { return reloads.run(running) })
	g.Go(func() error { return unit.run(running) })
	s.notify(systemd.NotifyReady(unit.idle))
	s.log.Info("serving", "listen", listeners[0].Addr().String(), "version", b.Version, "state_dir", s.dir.Path())
	<-running.Done()
	s.notify(systemd.NotifyStopping())
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	s.log.Info("stopped")
	return ErrStopped
}

// listen listens on the addresses of the API.
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
	c := deviceapi.Config{Updater: living{s.updater, s.pulse}, Token: token, Log: s.log, Addr: addr}
	if withMetrics {
		c.Metrics = s.metrics.Handler()
	}
	return deviceapi.New(c)
}

func newCallbacks(url string, s *services) (*deviceapi.Callbacks, error) {
	return deviceapi.NewCallbacks(deviceapi.CallbackConfig{
		URL: url, Outbox: outbox{s.journal}, Log: s.log,
		OnResult: func(result string) { s.metrics.Callback(metrics.CallbackResult(result)) },
		OnQueue:  s.metrics.CallbackQueue,
	})
}

// outbox is the journal's list of transitions whose callbacks are not delivered
// yet.
type outbox struct{ journal *journal.Journal }

func (o outbox) Pending() []journal.OutboxEntry { return o.journal.Record().Outbox }

func (o outbox) Delivered(seq uint64) error {
	_, err := o.journal.Update(func(r *journal.Record) {
		r.Outbox = slices.DeleteFunc(r.Outbox, func(n journal.OutboxEntry) bool { return n.Seq <= seq })
	})
	return err
}

// notify logs the error of a message to the init system.
func (s *services) notify(err error) {
	if err != nil {
		s.log.Warn("the init system cannot be notified", "err", err)
	}
}

// readToken returns the first line of the file. An empty token is an error: it
// would let everybody in.
func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("token file %s: its first line is empty", path)
	}
	return line, nil
}
