package deviceapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The limits of the server. They are small because a board has little memory,
// and its clients are few and near.
const (
	maxHeader       = 8 << 10 // bytes, to which net/http adds 4 KiB
	maxConns        = 64      // open at a time, on each listener
	headerTimeout   = 2 * time.Second
	bodyTimeout     = 10 * time.Second
	replyTimeout    = 15 * time.Second // longer than commandTimeout
	idleTimeout     = 30 * time.Second
	shutdownTimeout = time.Second
)

// Serve serves h on l until ctx ends, and then lets requests finish for up to
// one second. After that it returns nil; if it cannot serve, it returns the
// error at once. It closes l. It may be called from any goroutine, for each
// listener once.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	srv := &http.Server{
		Handler:           serving(h),
		Protocols:         &protocols,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      replyTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnState:         noteIdle,
		ConnContext:       withSlot,
		// "OPTIONS *" passes the guard like every other request.
		DisableGeneralOptionsHandler: true,
		// Commands stop waiting for the state machine when otad stops.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stopped := make(chan struct{})
	cancelShutdown := context.AfterFunc(ctx, func() {
		defer close(stopped)
		shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if srv.Shutdown(shutdownCtx) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(newSlots(l, maxConns))
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	cancelShutdown()
	srv.Close()
	return fmt.Errorf("serve on %s: %w", l.Addr(), err)
}
