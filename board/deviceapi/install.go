package deviceapi

import (
	"context"
	"errors"
	"net/http"

	"otad/fsm"
	"otad/journal"
)

// Installer is the part of *installer.Installer that the API calls, from many
// goroutines at a time.
type Installer interface {
	// Install has the package of that version installed. fsm.ErrNotReady,
	// fsm.ErrNoPackage, fsm.ErrInstalling and fsm.ErrExpired have replies of their
	// own.
	Install(ctx context.Context, version string) error
}

// update is POST /api/v1.0/update.
func (a *api) update(w http.ResponseWriter, r *http.Request) {
	body, refused, ok := readJSON(w, r)
	if !ok {
		refused.write(w)
		return
	}
	version, err := decodeUpdate(body)
	if err != nil {
		commandFailed(err).write(w)
		return
	}
	a.command(w, r, true, func(ctx context.Context) error { return a.cfg.Installer.Install(ctx, version) })
}

// decodeUpdate decodes the body of a request as strictly as decodeDownload.
func decodeUpdate(body []byte) (version string, err error) {
	m := member{name: "version", into: &version, problem: "is not a string"}
	values, err := splitObject(body, []member{m})
	if err != nil {
		return "", err
	}
	if err := m.set(values[m.name]); err != nil {
		return "", err
	}
	if problem := journal.VersionProblem(version); problem != "" {
		return "", &requestError{m.name, problem}
	}
	return version, nil
}

// installRefused returns the reply for the error of a request to install, false
// for any other error.
func installRefused(err error) (reply, bool) {
	switch {
	case errors.Is(err, fsm.ErrInstalling):
		return problem(http.StatusConflict, "OPERATION_IN_PROGRESS: "+fsm.ErrInstalling.Error()), true
	case errors.Is(err, fsm.ErrNotReady):
		return problem(http.StatusConflict, "DOWNLOAD_INCOMPLETE: "+fsm.ErrNotReady.Error()), true
	case errors.Is(err, fsm.ErrNoPackage):
		return problem(http.StatusNotFound, "PACKAGE_NOT_FOUND: "+fsm.ErrNoPackage.Error()+" here: post the job again"), true
	case errors.Is(err, fsm.ErrExpired):
		return problem(http.StatusGone, string(fsm.PackageExpired)+": "+fsm.ErrExpired.Error()+": send DELETE, and post the job again"), true
	}
	return reply{}, false
}
