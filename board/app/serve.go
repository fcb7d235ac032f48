package app

import (
	"context"
	"errors"
	"fmt"
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

// serve is the daemon: the updater, its API and its callbacks, until ctx ends.
func serve(ctx context.Context, cfg *config.Config, b Build, stderr *os.File) error {
	token, err := readToken(cfg.Serve.TokenFile)
	if err != nil {
		return err
	}
	var callbacks *deviceapi.Callbacks
	r, err := open(cfg, b, newLog(cfg, stderr), func(c *fsm.Config) {
		c.KeepOutbox = cfg.Serve.CallbackURL != ""
		c.OnChange = func(s fsm.Snapshot) {
			if callbacks != nil {
				callbacks.Notify(s)
			}
		}
	})
	if err != nil {
		return err
	}
	defer r.close()
	if cfg.Serve.CallbackURL != "" {
		if callbacks, err = newCallbacks(cfg.Serve.CallbackURL, r); err != nil {
			return err
		}
	}
	listeners, err := listen(cfg.Listen, cfg.Serve.MetricsListen)
	if err != nil {
		return err
	}
	g, running := errgroup.WithContext(ctx)
	for i, l := range listeners {
		handler := deviceapi.NewMetrics(r.metrics.Handler())
		if i == 0 {
			handler = newAPI(cfg.Listen, r, token, len(listeners) == 1)
		}
		g.Go(func() error { return deviceapi.Serve(running, l, handler, r.log) })
	}
	if callbacks != nil {
		g.Go(func() error { return callbacks.Run(running) })
	}
	g.Go(func() error { return r.updater.Run(running) })
	r.notify(systemd.NotifyReady("serving on " + listeners[0].Addr().String()))
	r.log.Info("serving", "listen", listeners[0].Addr().String(), "version", b.Version, "state_dir", r.dir.Path())
	<-running.Done()
	r.notify(systemd.NotifyStopping())
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ErrStopped
}

// listen opens the API's address and, where it is another one, the metrics'.
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
			mend := "name another address"
			if errors.Is(err, syscall.EADDRINUSE) {
				mend = "stop what uses it or " + mend
			}
			return nil, fmt.Errorf("listen on %s: %w; %s", addr, errors.Unwrap(err), mend)
		}
		out = append(out, l)
	}
	return out, nil
}

func newAPI(addr string, r *rooms, token string, withMetrics bool) http.Handler {
	c := deviceapi.Config{Updater: r.updater, Token: token, Log: r.log, Addr: addr}
	if withMetrics {
		c.Metrics = r.metrics.Handler()
	}
	return deviceapi.New(c)
}

func newCallbacks(url string, r *rooms) (*deviceapi.Callbacks, error) {
	return deviceapi.NewCallbacks(deviceapi.CallbackConfig{
		URL: url, Outbox: outbox{r.journal}, Log: r.log,
		OnResult: func(result string) { r.metrics.Callback(metrics.CallbackResult(result)) },
		OnQueue:  r.metrics.CallbackQueue,
	})
}

// outbox is the journal's list of transitions that are still to be told.
type outbox struct{ *journal.Journal }

func (o outbox) Pending() []journal.OutboxEntry { return o.Record().Outbox }

func (o outbox) Delivered(seq uint64) error {
	_, err := o.Update(func(r *journal.Record) {
		r.Outbox = slices.DeleteFunc(r.Outbox, func(n journal.OutboxEntry) bool { return n.Seq <= seq })
	})
	return err
}

func (r *rooms) notify(err error) {
	if err != nil {
		r.log.Warn("the init system cannot be told", "err", err)
	}
}

// readToken takes the first line of the file: an empty token would let everybody
// in, and is an error.
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
