package deviceapi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"otad/board/deviceapi"
	"otad/fsm"
)

func TestCallbackBodies(t *testing.T) {
	bodies := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- r.Method + " " + r.URL.String() + " " + r.Header.Get("Content-Type") + " " + string(body)
	}))
	defer srv.Close()
	box := &outbox{}
	box.add(fsm.Idle, fsm.Verifying, fsm.Ready, fsm.Failed, fsm.Downloading)
	c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: srv.URL + "/ota?board=7", Outbox: box, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for _, want := range []string{
		`{"stage":"idle","progress":0,"message":"state Idle","error":null}`,
		`{"stage":"verifying","progress":0,"message":"state Verifying","error":null}`,
		`{"stage":"toInstall","progress":0,"message":"state Ready","error":null}`,
		`{"stage":"failed","progress":37,"message":"state Failed","error":"DOWNLOAD_FAILED: HTTP 404"}`,
		`{"stage":"downloading","progress":0,"message":"state Downloading","error":null}`,
	} {
		if got := <-bodies; got != "POST /ota?board=7 application/json "+want {
			t.Errorf("posted %s\nwant %s", got, want)
		}
	}
	c.Notify(downloading(47))
	if got, want := <-bodies, `{"stage":"downloading","progress":45,"message":"Downloading","error":null}`; !strings.HasSuffix(got, want) {
		t.Errorf("posted %s\nwant %s", got, want)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	box := &outbox{}
	box.add(fsm.Ready)
	ctx, stop := context.WithCancel(t.Context())
	c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: srv.URL, Outbox: box, Log: quiet(), OnResult: func(result string) {
		if result != deviceapi.ResultRejected {
			t.Errorf("result %s, want rejected", result)
		}
		stop()
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestTheLogHasNoSecretsOfTheURL(t *testing.T) {
	var log bytes.Buffer
	box := &outbox{}
	box.add(fsm.Ready)
	gone := httptest.NewServer(nil)
	url := strings.Replace(gone.URL, "http://", "http://user:passw0rd@", 1) + "/ota?token=s3cr3t"
	gone.Close()
	ctx, stop := context.WithCancel(t.Context())
	c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: url, Outbox: box, OnResult: func(string) { stop() },
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "refused") || !strings.Contains(log.String(), "/ota") {
		t.Errorf("the log lacks the error or the path: %s", log.String())
	}
	if text := log.String(); strings.Contains(text, "s3cr3t") || strings.Contains(text, "passw0rd") {
		t.Errorf("the log has a secret: %s", text)
	}
}

func TestCallbackURLs(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://127.0.0.1:8080/ota":         true,
		"http://board.lan/ota":              true,
		"https://user:pw@board.lan/ota?a=b": true,
		"":                                  false,
		"127.0.0.1:8080":                    false,
		"ftp://board.lan/":                  false,
		"http:///s3cr3t":                    false,
		"http://board.lan:99999/s3cr3t":     false,
		"http://bad host/?s3cr3t":           false,
		"http://h/%zz?s3cr3t":               false,
	} {
		_, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: url, Outbox: &outbox{}, Log: quiet()})
		if (err == nil) != ok {
			t.Errorf("%q: error %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: the error contains the URL: %v", url, err)
		}
	}
}
