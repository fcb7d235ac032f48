// Package deviceapi connects otad with the board's own software: the HTTP API
// of the TOP.E v1.0 updater ([New], [Serve]), a client for it ([Ask]), and
// callbacks that report transitions and progress ([Callbacks]). README.md in
// this folder describes both for the author of an updater.
//
// Its invariant: only valid jobs reach the state machine, even if a web page, a
// stranger on the network or a broken client sends the requests, and a slow
// receiver of callbacks never delays the state machine.
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

// Updater is the part of *fsm.Updater that the API calls, from many goroutines
// at a time.
type Updater interface {
	// Start makes job the current one. fsm.ErrBusy, *journal.FieldError and
	// *fsm.Error have replies of their own; any other error is an internal one.
	Start(ctx context.Context, job journal.Job) error
	// Reset gives up the current job.
	Reset(ctx context.Context) error
	// Snapshot returns at once: it must not wait for the disk.
	Snapshot() fsm.Snapshot
	// Health returns nil while the journal can be written.
	Health() error
}

// Config configures New.
type Config struct {
	Updater   Updater      // required
	Installer Installer    // for POST /api/v1.0/update; nil: there is no such path
	Metrics   http.Handler // for GET /metrics; nil: not on this listener
	Token     string       // bearer token that POST and DELETE need; empty: none
	Addrs     []string     // configured addresses of the listeners, to check Host
	Log       *slog.Logger // required
	Version   string       // of otad, for the page

	// StateDir is the identity of the state directory, which [AskServing]
	// compares; empty: not given.
	StateDir string

	// Output returns the device of that name, which a request may write to, and
	// whether there is one; nil: there is none.
	Output func(name string) (device string, ok bool)

	Now func() time.Time // clock of the limit of commands; nil: time.Now
}

// metricsPath is where scrapers look.
const metricsPath = "/metrics"

// commandTimeout limits the time that a command waits for the state machine,
// which may wait for a slow sync. It is shorter than the server's write
// timeout, so the client gets a reply.
const commandTimeout = 10 * time.Second

type api struct {
	cfg      Config
	guard    guard
	limit    *commandLimit
	refusals *refusals
	routes   map[string]methods
}

// methods are the handlers of one path by HTTP method.
type methods map[string]http.HandlerFunc

// New returns the handler of the whole API, which may be called from any
// goroutine. It sends no CORS headers: web pages of other origins must not use
// the API.
func New(c Config) http.Handler {
	a := &api{cfg: c, guard: newGuard(c.Addrs, c.Token), limit: newCommandLimit(c.Now), refusals: &refusals{log: c.Log}}
	a.routes = map[string]methods{
		"/api/v1.0/download": {http.MethodPost: a.download, http.MethodDelete: a.reset},
		"/api/v1.0/progress": {http.MethodGet: a.progress},
		"/progress":          {http.MethodGet: a.progress},
		"/healthz":           {http.MethodGet: a.healthz},
		"/":                  {http.MethodGet: newPage(c.Version).serve},
	}
	if c.Installer != nil {
		a.routes["/api/v1.0/update"] = methods{http.MethodPost: a.update}
	}
	if c.Metrics != nil {
		a.routes[metricsPath] = methods{http.MethodGet: c.Metrics.ServeHTTP}
	}
	return a
}

// NewMetrics returns the handler of a listener for metrics only, which may be
// called from any goroutine. It accepts any Host, because scrapers use many
// names for a board; metrics hold no secrets, and reading them changes nothing.
func NewMetrics(metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPolicy(w)
		route(map[string]methods{metricsPath: {http.MethodGet: metrics.ServeHTTP}}, w, r)
	})
}

// setPolicy keeps the reply out of pages of other origins, which could load it as
// an image or a script (https://fetch.spec.whatwg.org/#corp-header).
func setPolicy(w http.ResponseWriter) {
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setPolicy(w)
	if refused, ok := a.guard.check(r); !ok {
		a.refusals.note(r, refused.body.Msg)
		if refused.httpStatus == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, section 11.6.1
		}
		refused.write(w)
		return
	}
	route(a.routes, w, r)
}

// route calls the handler of path and method. http.ServeMux would reply to
// wrong paths and methods in plain text, and redirect to cleaned paths.
func route(routes map[string]methods, w http.ResponseWriter, r *http.Request) {
	byMethod, ok := routes[r.URL.Path]
	if !ok {
		refusal(http.StatusNotFound, "NOT_FOUND: no such path").write(w)
		return
	}
	method := r.Method
	if method == http.MethodHead { // the server does not send the body
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
	body, refused, ok := readJSON(w, r)
	if !ok {
		refused.write(w)
		return
	}
	job, err := decodeDownload(body)
	if err == nil {
		job.Output, err = a.outputOf(job.Output)
	}
	if err != nil {
		commandFailed(err).write(w)
		return
	}
	writes := !a.limit.isRepeated(job, a.cfg.Updater.Snapshot())
	a.command(w, r, writes, func(ctx context.Context) error {
		err := a.cfg.Updater.Start(ctx, job)
		if err == nil {
			a.limit.accepted(job)
		}
		return err
	})
}

// reset is DELETE /api/v1.0/download.
func (a *api) reset(w http.ResponseWriter, r *http.Request) {
	a.command(w, r, true, a.cfg.Updater.Reset)
}

// command runs do and replies with the stage after it. writes reports whether do
// writes the journal.
func (a *api) command(w http.ResponseWriter, r *http.Request, writes bool, do func(context.Context) error) {
	giveBack := func() {}
	if writes {
		var ok bool
		if giveBack, ok = a.limit.take(); !ok {
			refused := tooMany()
			a.refusals.note(r, refused.body.Msg)
			refused.write(w)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), commandTimeout)
	defer cancel()
	if peer := peerOf(r); peer != "" {
		a.cfg.Log.Info("command", "method", r.Method, "path", r.URL.Path, "peer", peer)
	}
	enterPhase(r, pinned)
	err := do(ctx)
	enterPhase(r, replying)
	if err != nil {
		failed := commandFailed(err)
		if failed.body.Code < http.StatusInternalServerError {
			giveBack() // refused without a write
		}
		var job *fsm.Error
		if errors.As(err, &job) && job.Code == fsm.SignatureInvalid {
			a.refusals.note(r, failed.body.Msg) // it may be an attack
		}
		if failed.body.Code == http.StatusConflict {
			failed = failed.withStage(ProgressOf(a.cfg.Updater.Snapshot()))
		}
		if failed.body.Code >= http.StatusInternalServerError {
			a.cfg.Log.Error("command failed", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		failed.write(w)
		return
	}
	success(commandData{stageOf(a.cfg.Updater.Snapshot())}).write(w)
}

// commandFailed returns the reply for the error of a command.
func commandFailed(err error) reply {
	var bad *requestError
	var job *fsm.Error
	if refused, ok := installRefused(err); ok {
		return refused
	}
	switch {
	case errors.As(keyed(err), &bad):
		return problem(http.StatusBadRequest, "VALIDATION_ERROR: "+bad.Error())
	case errors.Is(err, fsm.ErrBusy):
		return problem(http.StatusConflict, "OPERATION_IN_PROGRESS: "+fsm.ErrBusy.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return problem(http.StatusServiceUnavailable, "UNAVAILABLE: the updater did not take the command, try again")
	case errors.As(err, &job) && job.Code == fsm.SignatureInvalid:
		return problem(http.StatusBadRequest, job.Error())
	case errors.As(err, &job):
		return problem(http.StatusInternalServerError, job.Error())
	default:
		return problem(http.StatusInternalServerError, "INTERNAL_ERROR: "+err.Error())
	}
}

// progress is GET /progress. The reply for a failed job has code 500 and all
// the data.
func (a *api) progress(w http.ResponseWriter, _ *http.Request) {
	s := a.cfg.Updater.Snapshot()
	p := ProgressOf(s)
	if a.cfg.StateDir != "" {
		w.Header().Set(stateDirHeader, a.cfg.StateDir)
	}
	if p.Stage != "failed" {
		success(p).write(w)
		return
	}
	failed := problem(http.StatusInternalServerError, s.Error).withStage(p)
	failed.body.Data = p
	failed.write(w)
}

// healthz is for supervisors, which look only at the HTTP status.
func (a *api) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := a.cfg.Updater.Health(); err != nil {
		refusal(http.StatusServiceUnavailable, "UNHEALTHY: "+err.Error()).write(w)
		return
	}
	success(nil).write(w)
}
