package deviceapi_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
)

// updater is a state machine that only records one job at a time.
type updater struct {
	mu       sync.Mutex
	snapshot fsm.Snapshot
	started  []journal.Job
	resets   int
	err      error // of Start and Reset
	health   error // of Health
}

func (u *updater) Start(_ context.Context, job journal.Job) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	if busy := u.snapshot.State == fsm.Downloading; busy && !u.started[len(u.started)-1].Same(job) {
		return fsm.ErrBusy
	}
	u.started = append(u.started, job)
	u.snapshot = fsm.Snapshot{State: fsm.Downloading, Version: job.Version, Name: job.Name, Size: job.Size, ETA: -1, Message: "Downloading"}
	return nil
}

func (u *updater) Reset(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	u.resets++
	u.snapshot = fsm.Snapshot{State: fsm.Idle, ETA: -1, Message: "Updater ready"}
	return nil
}

func (u *updater) Snapshot() fsm.Snapshot {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.snapshot
}

func (u *updater) Health() error { return u.health }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

const (
	goodMD5 = "0123456789abcdef0123456789abcdef"
	goodJob = `{"version":"1.2.3","package_url":"https://origin.example/u.zip?X-Amz-Signature=s3cr3t","package_name":"u.zip","package_size":104857600,"package_md5":"` + goodMD5 + `"}`
)

func newAPI(u *updater) http.Handler {
	return deviceapi.New(deviceapi.Config{Updater: u, Addrs: []string{"127.0.0.1:12315"}, Log: quiet()})
}

// request returns a request as a correct client on the board sends it.
func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, "http://127.0.0.1:12315"+path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// do passes r to h and returns the response and its body.
func do(t *testing.T, h http.Handler, r *http.Request) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}
