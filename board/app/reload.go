package app

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"sync/atomic"

	"otad/board/config"
	"otad/fsm"
	"otad/netio"
)

// origin is the machine's source of packages. A reload replaces the fetcher:
// the next request is made with the new settings.
type origin struct {
	fetcher atomic.Pointer[netio.Fetcher]
	cut     atomic.Bool // the transfer under way is to be closed once
}

// newFetcher returns a fetcher with the header file and the roots as they are
// now.
func newFetcher(cfg *config.Config, b Build) (*netio.Fetcher, error) {
	source := cfg.Source
	var err error
	if source.Header, err = readHeader(cfg.HeaderFile); err != nil {
		return nil, err
	}
	source.UserAgent, source.BuildTime = "otad/"+b.Version, b.Time
	return netio.New(source)
}

func (o *origin) CheckURL(url string) error { return o.fetcher.Load().CheckURL(url) }

func (o *origin) Open(ctx context.Context, r netio.Request) (*netio.Body, error) {
	return o.fetcher.Load().Open(ctx, r)
}

// replace makes f the fetcher of the requests from now on.
func (o *origin) replace(f *netio.Fetcher) {
	if old := o.fetcher.Swap(f); old != nil {
		old.Close()
	}
}

// heldOrCut returns held that also returns true once after each cut: the machine
// then makes a checkpoint, closes the transfer and goes on, at no cost of
// retries.
func (o *origin) heldOrCut(held func() bool) func() bool {
	return func() bool { return o.cut.Swap(false) || held != nil && held() }
}

// api is the handler of the API. A reload replaces it with one that has the new
// token.
type api struct {
	handler atomic.Pointer[http.Handler]
}

func (a *api) replace(h http.Handler) { a.handler.Store(&h) }

// ServeHTTP implements [http.Handler].
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*a.handler.Load()).ServeHTTP(w, r)
}

// reloader reads the configuration of serve again. Its own goroutine calls run.
type reloader struct {
	process  *Process
	services *services
	build    Build
	level    *slog.LevelVar
	token    string
	setToken func(token string)
	now      *config.Config // what is in use
}

// run reloads at each signal, until ctx ends.
func (r *reloader) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.process.Reload:
			if err := r.reload(ctx); err != nil {
				r.services.log.Error("the configuration cannot be read again, that of before stays in use", "err", err)
			}
		}
	}
}

// reload changes all that can change without a restart, or nothing.
func (r *reloader) reload(ctx context.Context) error {
	next, err := r.process.Reread()
	if err != nil {
		return err
	}
	tokens, err := readTokens(next.Serve, r.services.log)
	if err != nil {
		return err
	}
	token := tokens.commands
	fetcher, err := newFetcher(next, r.build)
	if err != nil {
		return err
	}
	trust, err := readTrust(next)
	if err != nil {
		fetcher.Close()
		return err
	}
	s, was := r.services, *r.now
	s.origin.replace(fetcher)
	// A new limit holds for the transfer under way too.
	if next.Source.RateLimit != was.Source.RateLimit && s.updater.Snapshot().State == fsm.Downloading {
		s.origin.cut.Store(true)
	}
	r.level.Set(next.LogLevel)
	if token != r.token {
		r.token = token
		r.setToken(token)
	}
	r.now = next
	if err := s.replaceTrust(ctx, trust); err != nil {
		s.log.Warn("what is ready is judged by the new keys at the next start", "err", err)
	}
	s.warn(next.Warnings)
	s.log.Info("reloaded", "rate_limit", next.Source.RateLimit, "log_level", next.LogLevel)
	was.Source, was.LogLevel, was.HeaderFile = next.Source, next.LogLevel, next.HeaderFile
	was.Warnings, was.Serve.TokenFile = next.Warnings, next.Serve.TokenFile
	was.TrustedKeys, was.MinVersion = next.TrustedKeys, next.MinVersion
	if !reflect.DeepEqual(was, *next) {
		s.log.Warn("a setting that has changed needs a restart")
	}
	return nil
}
