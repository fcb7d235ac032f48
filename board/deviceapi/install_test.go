package deviceapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"otad/board/deviceapi"
	"otad/fsm"
)

// installs is an installer that answers with an error, and otherwise changes the
// stage of the updater.
type installs struct {
	u        *updater
	err      error
	versions []string
}

func (i *installs) Install(_ context.Context, version string) error {
	i.versions = append(i.versions, version)
	if i.err == nil {
		i.u.snapshot.Stage = fsm.StageInstalling
	}
	return i.err
}

func TestUpdate(t *testing.T) {
	const good = `{"version":"1.2.3"}`
	for name, tt := range map[string]struct {
		body string
		err  error
		want string // beginning of the reply
	}{
		"accepted":             {good, nil, `{"code":200,"msg":"success","data":{"status":"installing"}}`},
		"unknown members":      {`{"version":"1.2.3","force":true}`, nil, `{"code":200,`},
		"no version":           {`{}`, nil, `{"code":400,"msg":"VALIDATION_ERROR: version is missing"`},
		"no string":            {`{"version":1}`, nil, `{"code":400,"msg":"VALIDATION_ERROR: version is not a string"`},
		"null":                 {`{"version":null}`, nil, `{"code":400,"msg":"VALIDATION_ERROR: version is null"`},
		"another form":         {`{"version":"1.2"}`, nil, `{"code":400,"msg":"VALIDATION_ERROR: version is not three numbers`},
		"given twice":          {`{"version":"1.2.3","version":"1.2.4"}`, nil, `{"code":400,"msg":"VALIDATION_ERROR: version is given twice"`},
		"no JSON":              {`version`, nil, `{"code":400,"msg":"VALIDATION_ERROR: body is not one JSON value"`},
		"another version":      {good, fsm.ErrNoPackage, `{"code":404,"msg":"PACKAGE_NOT_FOUND: `},
		"not Ready":            {good, fsm.ErrNotReady, `{"code":409,"msg":"DOWNLOAD_INCOMPLETE: the package is not Ready","stage":"toInstall","progress":100`},
		"under way":            {good, fsm.ErrInstalling, `{"code":409,"msg":"OPERATION_IN_PROGRESS: a package is being installed","stage":"toInstall"`},
		"too old":              {good, fsm.ErrExpired, `{"code":410,"msg":"PACKAGE_EXPIRED: `},
		"a disk that is full":  {good, errors.New("write the journal: no space left on device"), `{"code":500,"msg":"INTERNAL_ERROR: `},
		"a body without close": {`{"version":"1.2.3"`, nil, `{"code":400,`},
	} {
		t.Run(name, func(t *testing.T) {
			u := &updater{snapshot: fsm.Snapshot{State: fsm.Ready, Version: "1.2.3", Name: "u.zip", Progress: 100, ETA: -1}}
			i := &installs{u: u, err: tt.err}
			w := httptest.NewRecorder()
			deviceapi.New(deviceapi.Config{Updater: u, Installer: i, Addrs: []string{"127.0.0.1:12315"}, Log: quiet()}).
				ServeHTTP(w, request(http.MethodPost, "/api/v1.0/update", tt.body))
			if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), tt.want) {
				t.Errorf("answered %d %s, want %s", w.Code, w.Body, tt.want)
			}
			if refused := strings.HasPrefix(tt.want, `{"code":400`); refused == (len(i.versions) > 0) {
				t.Errorf("the installer was asked for %q", i.versions)
			}
		})
	}
}

// The guards are those of every command.
func TestUpdateNeedsTokenAndHost(t *testing.T) {
	u := &updater{snapshot: fsm.Snapshot{State: fsm.Ready, Version: "1.2.3"}}
	i := &installs{u: u}
	handler := deviceapi.New(deviceapi.Config{Updater: u, Installer: i, Addrs: []string{"127.0.0.1:12315"}, Token: "correct-horse-battery", Log: quiet()})
	noToken := request(http.MethodPost, "/api/v1.0/update", `{"version":"1.2.3"}`)
	stranger := request(http.MethodPost, "/api/v1.0/update", `{"version":"1.2.3"}`)
	stranger.Header.Set("Authorization", "Bearer correct-horse-battery")
	stranger.Host = "evil.example"
	form := request(http.MethodPost, "/api/v1.0/update", `{"version":"1.2.3"}`)
	form.Header.Set("Authorization", "Bearer correct-horse-battery")
	form.Header.Set("Content-Type", "text/plain")
	for want, r := range map[int]*http.Request{401: noToken, 421: stranger, 415: form} {
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("answered %d %s, want %d", w.Code, w.Body, want)
		}
	}
	if len(i.versions) > 0 {
		t.Error("a refused request reached the installer")
	}
}

func TestWithoutAnInstallerThereIsNoUpdate(t *testing.T) {
	w := httptest.NewRecorder()
	newAPI(new(updater)).ServeHTTP(w, request(http.MethodPost, "/api/v1.0/update", `{"version":"1.2.3"}`))
	if w.Code != http.StatusNotFound {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestInstallationIsShown(t *testing.T) {
	for stage, want := range map[fsm.Stage]string{
		"":                  `{"code":200,"msg":"success","data":{"stage":"toInstall",`,
		fsm.StageInstalling: `{"code":200,"msg":"success","data":{"stage":"installing",`,
		fsm.StageRebooting:  `{"code":200,"msg":"success","data":{"stage":"rebooting",`,
		fsm.StageSucceeded:  `{"code":200,"msg":"success","data":{"stage":"success",`,
		fsm.StageFailed:     `{"code":500,"msg":"INSTALL_FAILED: exit 1: no slot","stage":"failed","progress":100,"data":{"stage":"failed","progress":100,"message":"Installation failed","error":"INSTALL_FAILED: exit 1: no slot","state":"Ready",`,
	} {
		s := fsm.Snapshot{State: fsm.Ready, Stage: stage, Progress: 100, ETA: -1}
		if stage == fsm.StageFailed {
			s.Message, s.Error, s.Code = "Installation failed", "INSTALL_FAILED: exit 1: no slot", fsm.InstallFailedCode
		}
		w := httptest.NewRecorder()
		newAPI(&updater{snapshot: s}).ServeHTTP(w, request(http.MethodGet, "/progress", ""))
		if !strings.HasPrefix(w.Body.String(), want) {
			t.Errorf("%q is shown as %s, want %s", stage, w.Body, want)
		}
	}
}
