// Package deviceapi is how the board's own software drives otad: the HTTP API
// of the TOP.E v1.0 updater, and the callbacks that tell it what happens.
//
// Its invariant: whatever a web page, a stranger on the network or a broken
// client sends, at most a valid job reaches the machine, and no receiver of
// callbacks, however slow, holds the machine up.
//
//	handler := deviceapi.New(deviceapi.Config{Updater: updater, Addr: addr, Log: log})
//	err := deviceapi.Serve(ctx, listener, handler, log)
package deviceapi

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"otad/fsm"
	"otad/journal"
)

// Updater is what the API needs of *fsm.Updater. All of it is called from many
// goroutines at a time.
type Updater interface {
	// Start makes job the current one. fsm.ErrBusy and *journal.FieldError have
	// answers of their own; any other error is an internal one.
	Start(ctx context.Context, job journal.Job) error
	// Reset gives up the current job.
	Reset(ctx context.Context) error
	// Snapshot answers from memory and never waits for the disk.
	Snapshot() fsm.Snapshot
	// Health is nil while the journal can be written.
	Health() error
}

// Config is what New needs.
type Config struct {
	Updater Updater      // required
	Metrics http.Handler // answers GET /metrics; nil: there is none on this listener
	Token   string       // bearer token that POST and DELETE need; empty: none
	Addr    string       // the listener's address as it was configured, for the check of Host
	Log     *slog.Logger // required
}

// commandTimeout bounds how long a command waits for the machine, which may be
// in the middle of a slow sync. It is below the server's write timeout, so that
// the client gets an answer.
const commandTimeout = 10 * time.Second

type api struct {
	Config
	guard  guard
	routes map[string]methods
}

// methods are the handlers of one path by HTTP method.
type methods map[string]http.HandlerFunc

// New makes the handler of the whole API. It sends no CORS headers: no web page
// of another origin has any business here.
func New(c Config) http.Handler {
	a := &api{Config: c, guard: newGuard(c.Addr, c.Token)}
	a.routes = map[string]methods{
		"/api/v1.0/download": {http.MethodPost: a.download, http.MethodDelete: a.reset},
		"/api/v1.0/progress": {http.MethodGet: a.progress},
		"/progress":          {http.MethodGet: a.progress},
		"/healthz":           {http.MethodGet: a.healthz},
	}
	if c.Metrics != nil {
		a.routes["/metrics"] = methods{http.MethodGet: c.Metrics.ServeHTTP}
	}
	return a
}

// NewMetrics makes the handler of a listener for metrics alone. It shows
// nothing secret and changes nothing, so any Host will do: scrapers know a
// board by all kinds of names.
func NewMetrics(metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route(map[string]methods{"/metrics": {http.MethodGet: metrics.ServeHTTP}}, w, r)
	})
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if why, ok := a.guard.admit(r); !ok {
		a.Log.Info("request refused", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr, "reason", why.body.Msg)
		if why.http == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, section 11.6.1
		}
		why.write(w)
		return
	}
	route(a.routes, w, r)
}

// route calls the handler of path and method. It is no http.ServeMux because
// that answers 404 and 405 in plain text and redirects to cleaned paths.
func route(routes map[string]methods, w http.ResponseWriter, r *http.Request) {
	byMethod, ok := routes[r.URL.Path]
	if !ok {
		refusal(http.StatusNotFound, "NOT_FOUND: no such path").write(w)
		return
	}
	method := r.Method
	if method == http.MethodHead { // the server keeps the body back
		method = http.MethodGet
	}
	handle, ok := byMethod[method]
	if !ok {
		allowed := strings.Join(slices.Sorted(maps.Keys(byMethod)), ", ")
		w.Header().Set("Allow", allowed) // RFC 9110, section 15.5.6
		refusal(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED: use "+allowed).write(w)
		return
	}
	handle(w, r)
}

// download is POST /api/v1.0/download.
func (a *api) download(w http.ResponseWriter, r *http.Request) {
	body, why, ok := readJSON(w, r)
	if !ok {
		why.write(w)
		return
	}
	job, err := decodeDownload(body)
	if err != nil {
		commandFailed(err).write(w)
		return
	}
	a.command(w, r, func(ctx context.Context) error { return a.Updater.Start(ctx, job) })
}

// reset is DELETE /api/v1.0/download.
func (a *api) reset(w http.ResponseWriter, r *http.Request) {
	a.command(w, r, a.Updater.Reset)
}

// command runs do and answers with the stage that it led to.
func (a *api) command(w http.ResponseWriter, r *http.Request, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(r.Context(), commandTimeout)
	defer cancel()
	if err := do(ctx); err != nil {
		why := commandFailed(err)
		if why.body.Code >= http.StatusInternalServerError {
			a.Log.Error("command failed", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		why.write(w)
		return
	}
	success(status{stage(a.Updater.Snapshot().State)}).write(w)
}

// commandFailed turns the error of a command into its answer.
func commandFailed(err error) answer {
	var bad *requestError
	var job *fsm.Error
	switch {
	case errors.As(keyed(err), &bad):
		return problem(http.StatusBadRequest, "VALIDATION_ERROR: "+bad.Error())
	case errors.Is(err, fsm.ErrBusy):
		return problem(http.StatusConflict, "OPERATION_IN_PROGRESS: "+fsm.ErrBusy.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return problem(http.StatusServiceUnavailable, "UNAVAILABLE: the updater did not take the command, try again")
	case errors.As(err, &job):
		return problem(http.StatusInternalServerError, job.Error())
	default:
		return problem(http.StatusInternalServerError, "INTERNAL_ERROR: "+err.Error())
	}
}

// progress is GET /progress. A job that failed is an answer with code 500 that
// still carries all the data.
func (a *api) progress(w http.ResponseWriter, _ *http.Request) {
	s := a.Updater.Snapshot()
	p := ProgressOf(s)
	if s.State != fsm.Failed {
		success(p).write(w)
		return
	}
	why := problem(http.StatusInternalServerError, s.Error)
	why.body.Stage, why.body.Progress, why.body.Data = p.Stage, &p.Progress, p
	why.write(w)
}

// healthz is for supervisors, which look at nothing but the HTTP status.
func (a *api) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := a.Updater.Health(); err != nil {
		refusal(http.StatusServiceUnavailable, "UNHEALTHY: "+err.Error()).write(w)
		return
	}
	success(nil).write(w)
}
