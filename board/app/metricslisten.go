package app

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"otad/board/deviceapi"
	"otad/netio"
)

// How long one try to listen may take (the address may be a name), and how long
// the next one waits.
const (
	listenLimit = time.Second
	listenRetry = 2 * time.Second
)

// metricsListener serves the metrics on an address of their own. That address
// may not be there yet, as before DHCP has answered, and must not keep the
// updater down meanwhile.
type metricsListener struct {
	addr    string
	handler http.Handler
	log     *slog.Logger
	waiting bool // said in the log
}

// listen returns nil when the address cannot be listened on yet.
func (m *metricsListener) listen(ctx context.Context) net.Listener {
	ctx, cancel := context.WithTimeout(ctx, listenLimit)
	defer cancel()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", netio.ListenAddress(m.addr))
	switch {
	case err != nil && !m.waiting:
		m.waiting = true
		m.log.Warn("the metrics cannot be served yet, trying again", "every", listenRetry, "err", err)
	case err == nil && m.waiting:
		m.waiting = false
		m.log.Info("the metrics are served", "listen", l.Addr().String())
	}
	if err != nil {
		return nil
	}
	return l
}

// run serves the metrics until ctx ends, first on l unless that is nil.
func (m *metricsListener) run(ctx context.Context, l net.Listener) error {
	for ; ctx.Err() == nil; l = m.listen(ctx) {
		if l != nil {
			if err := deviceapi.Serve(ctx, l, m.handler, m.log); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenRetry):
		}
	}
	return nil
}
