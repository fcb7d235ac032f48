package deviceapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
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

// fields returns the header fields of a post that a receiver may rely on.
func fields(h http.Header) string {
	return fmt.Sprintf("%q %q %q %q %q", h.Get("Authorization"), h.Get("Otad-Version"), h.Get("Otad-Package"),
		h.Get("Otad-MD5"), h.Get("Otad-Sequence"))
}

// A receiver can see that a post is otad's, which job it is about, and whether
// it has had the transition before.
func TestCallbackHeaders(t *testing.T) {
	const token = "correct-horse-battery"
	job := journal.Job{Version: "1.2.3", Name: "u.zip", MD5: goodMD5}
	for _, tt := range []struct {
		name, token string
		job         journal.Job
		want        []string // of the transition, of the next one, of progress
	}{
		{"a job and a token", token, job, []string{
			`"Bearer correct-horse-battery" "1.2.3" "u.zip" "` + goodMD5 + `" "1"`,
			`"Bearer correct-horse-battery" "1.2.3" "u.zip" "` + goodMD5 + `" "2"`,
			`"Bearer correct-horse-battery" "1.2.3" "u.zip" "` + goodMD5 + `" ""`,
		}},
		{"no job and no token", "", journal.Job{}, []string{`"" "" "" "" "1"`, `"" "" "" "" "2"`, `"" "" "" "" ""`}},
		{"progress of the job before", "", journal.Job{Version: "9.9.9", Name: "é b.zip"}, []string{
			`"" "9.9.9" "%C3%A9%20b.zip" "" "1"`, `"" "9.9.9" "%C3%A9%20b.zip" "" "2"`, `"" "" "" "" ""`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			posts := make(chan string, 10)
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { posts <- fields(r.Header) }))
			defer srv.Close()
			box := &outbox{job: tt.job}
			box.add(fsm.Failed, fsm.Downloading)
			c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: srv.URL, Token: tt.token, Outbox: box, Log: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			for i, want := range tt.want {
				if i == 2 {
					c.Notify(downloading(47))
				}
				if got := <-posts; got != want {
					t.Errorf("post %d has %s\nwant %s", i, got, want)
				}
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCallbackTokensThatNoHeaderCanHaveAreRefused(t *testing.T) {
	for token, ok := range map[string]bool{"s3cr3t": true, "": true, "s3cr3t\r\nX: y": false, "s3cr3t ": false, "s3cr3té": false} {
		_, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: "http://127.0.0.1/", Token: token, Outbox: &outbox{}, Log: quiet()})
		if (err == nil) != ok {
			t.Errorf("%q: error %v", token, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: the error contains the token: %v", token, err)
		}
	}
}

// The bytes are gone, and with them the progress that the machine has: a
// receiver of v1.0 expects that of the moment when the mismatch was found.
func TestMismatchIsPostedWithProgress100(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, &outbox{}, newReceiver())
		for i, code := range []fsm.Code{fsm.MD5Mismatch, fsm.SHA256Mismatch, fsm.PackageSizeMismatch, fsm.DownloadFailed} {
			rg.box.entries = append(rg.box.entries, journal.OutboxEntry{Seq: uint64(i + 1), State: string(fsm.Failed), Code: string(code)})
		}
		stop := rg.run(t)
		wantPosts(t, rg.to, "failed 100", "failed 100", "failed 100", "failed 0")
		stop()
	})
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

// The receiver's certificate is of an unknown authority, which is found after
// version and suite are agreed on.
func TestCallbacksHaveTheRulesOfTLS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		suites []uint16
		least  uint16
		want   string
	}{
		{"1.2", nil, 0, "unknown authority"},
		{"1.2 and -tls-min 1.3", nil, tls.VersionTLS13, "protocol version not supported"},
		{"CBC", []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}, 0, "handshake failure"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(nil)
			srv.TLS = &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: tt.suites}
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			srv.StartTLS()
			defer srv.Close()
			var log bytes.Buffer
			box := &outbox{}
			box.add(fsm.Ready)
			ctx, stop := context.WithCancel(t.Context())
			c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: srv.URL, Outbox: box, TLSMin: tt.least,
				OnResult: func(string) { stop() }, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Run(ctx); err != nil || !strings.Contains(log.String(), tt.want) {
				t.Errorf("%v: %s", err, log.String())
			}
		})
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
