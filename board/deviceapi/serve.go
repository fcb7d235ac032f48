package deviceapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// The limits of the server. They are small because a board has little memory,
// and its clients are few and near.
const (
	maxHeader       = 8 << 10 // bytes, to which net/http adds 4 KiB
	maxConns        = 32      // open at a time; others wait in the kernel
	headerTimeout   = 5 * time.Second
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
		Handler:           h,
		Protocols:         &protocols,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      replyTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
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
	err := srv.Serve(newLimitedListener(l, maxConns))
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	cancelShutdown()
	srv.Close()
	return fmt.Errorf("serve on %s: %w", l.Addr(), err)
}

// limitedListener accepts no connection while too many are open: each costs
// buffers and a stack, and everyone on the network can open one.
type limitedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimitedListener(l net.Listener, n int) *limitedListener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{Conn: conn, free: func() { <-l.slots }}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// slotConn frees its slot when it is closed for the first time.
type slotConn struct {
	net.Conn
	once sync.Once
	free func()
}

func (c *slotConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.free)
	return err
}

// CloseWrite lets a refusal reach a client that is still sending: net/http
// calls it before it closes the connection, and the client gets no reset.
func (c *slotConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
