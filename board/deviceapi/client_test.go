package deviceapi_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"otad/board/deviceapi"
	"otad/fsm"
)

func TestAsk(t *testing.T) {
	text := func(body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
	}
	release := make(chan struct{})
	for _, tt := range []struct {
		name    string
		handler http.Handler // nil: nobody listens
		want    string       // stage, or a part of the error
	}{
		{"idle", newAPI(&updater{snapshot: fsm.Snapshot{State: fsm.Idle}}), "idle"},
		{"failed job", newAPI(&updater{snapshot: fsm.Snapshot{State: fsm.Failed, Error: "DISK_FULL: x"}}), "failed"},
		{"other server", text("<html>"), "does not answer like otad"},
		{"other JSON", text(`{"code":200}`), "does not answer like otad"},
		{"no server", nil, deviceapi.ErrNotServing.Error()},
		{"hanging server", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }), "deadline exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(tt.handler)
			defer srv.Close()
			addr := srv.Listener.Addr().String()
			if tt.handler == nil {
				srv.Close()
			}
			if strings.HasPrefix(tt.name, "hanging") {
				defer close(release)
			}
			start := time.Now()
			p, err := deviceapi.Ask(t.Context(), addr)
			got := p.Stage
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) || errors.Is(err, deviceapi.ErrNotServing) != (tt.handler == nil) {
				t.Errorf("got %q, %v, want %q", p.Stage, err, tt.want)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v, want about 2 s", took)
			}
		})
	}
}

func TestAskServingIsAnsweredByTheDaemonOfTheStateDirectory(t *testing.T) {
	for _, test := range []struct {
		served, asked string
		other         bool
	}{
		{"a1", "a1", false}, {"a1", "", false}, {"a1", "b2", true}, {"", "", false}, {"", "a1", true},
	} {
		server := httptest.NewServer(deviceapi.New(deviceapi.Config{Updater: &updater{}, Log: slog.New(slog.DiscardHandler), StateDir: test.served}))
		_, err := deviceapi.AskServing(t.Context(), server.Listener.Addr().String(), test.asked)
		server.Close()
		if errors.Is(err, deviceapi.ErrOtherStateDir) != test.other || !test.other && err != nil {
			t.Errorf("of a daemon of %q, asked for %q: %v", test.served, test.asked, err)
		}
	}
}
