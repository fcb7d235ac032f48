package deviceapi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"otad/board/deviceapi"
)

func TestHostMustNameThisListener(t *testing.T) {
	for _, tt := range []struct {
		addr, host, local string
		want              int
	}{
		{addr: "127.0.0.1:12315", host: "127.0.0.1:12315", want: 200},
		{addr: "127.0.0.1:12315", host: "127.0.0.1", want: 200},
		{addr: "127.0.0.1:12315", host: "127.0.0.1:8080", want: 200}, // a forwarded port
		{addr: "127.0.0.1:12315", host: "localhost:12315", want: 200},
		{addr: "127.0.0.1:12315", host: "LocalHost.:12315", want: 200},
		{addr: "127.0.0.1:12315", host: "127.8.9.10", want: 200},
		{addr: "127.0.0.1:12315", host: "[::1]:12315", want: 200},
		{addr: "127.0.0.1:12315", host: "[::1]", want: 200},
		{addr: "127.0.0.1:12315", host: "", want: 200}, // HTTP/1.0
		{addr: "127.0.0.1:12315", host: "evil.example:12315", want: 421},
		{addr: "127.0.0.1:12315", host: "localhost.evil.example", want: 421},
		{addr: "127.0.0.1:12315", host: "127.0.0.1.evil.example", want: 421},
		{addr: "127.0.0.1:12315", host: "localhost@evil.example", want: 421},
		{addr: "127.0.0.1:12315", host: "192.168.1.7:12315", want: 421},
		{addr: ":12315", host: "192.168.1.7:12315", local: "192.168.1.7:12315", want: 200},
		{addr: "0.0.0.0:12315", host: "192.168.1.7:12315", local: "192.168.1.7:12315", want: 200},
		{addr: "0.0.0.0:12315", host: "192.168.1.8:12315", local: "192.168.1.7:12315", want: 421},
		{addr: "[::]:12315", host: "192.168.1.7:12315", local: "[::ffff:192.168.1.7]:12315", want: 200},
		{addr: "[::]:12315", host: "[fe80::1]:12315", local: "[fe80::1%eth0]:12315", want: 200},
		{addr: ":12315", host: "evil.example:12315", local: "192.168.1.7:12315", want: 421},
		{addr: "board.lan:12315", host: "Board.LAN:12315", want: 200},
		{addr: "board.lan:12315", host: "evil.example", want: 421},
	} {
		t.Run(tt.addr+" "+tt.host, func(t *testing.T) {
			h := deviceapi.New(deviceapi.Config{Updater: &updater{}, Addrs: []string{tt.addr}, Log: quiet()})
			r := request("GET", "/healthz", "")
			r.Host = tt.host
			if tt.local != "" {
				local, err := net.ResolveTCPAddr("tcp", tt.local)
				if err != nil {
					t.Fatal(err)
				}
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
			}
			if resp, body := do(t, h, r); resp.StatusCode != tt.want {
				t.Errorf("HTTP %d %s, want %d", resp.StatusCode, body, tt.want)
			}
		})
	}
}

// evil is the origin of another site's page.
const evil = "http://evil.example:12315"

// TestWebPagesAreRefused sends the requests that a page of another origin can
// make a browser send.
func TestWebPagesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, method, contentType, host string
		want                            int
		site, origin                    string // what the browser adds: "" none
	}{
		// A browser that adds nothing is stopped by the type alone.
		{"a form", "POST", "application/x-www-form-urlencoded", "127.0.0.1:12315", 415, "", ""},
		{"a form with JSON as plain text", "POST", "text/plain", "127.0.0.1:12315", 415, "", ""},
		{"fetch in no-cors mode without a type", "POST", "", "127.0.0.1:12315", 415, "", ""},
		{"a type that only begins like JSON", "POST", "application/json-patch+json", "127.0.0.1:12315", 415, "", ""},

		{"a form with its origin", "POST", "application/x-www-form-urlencoded", "127.0.0.1:12315", 403, "", evil},
		{"plain text with its origin", "POST", "text/plain", "127.0.0.1:12315", 403, "", evil},
		{"no type, with its origin", "POST", "", "127.0.0.1:12315", 403, "", evil},
		{"JSON with its origin", "POST", "application/json", "127.0.0.1:12315", 403, "", evil},
		{"DELETE with its origin", "DELETE", "", "127.0.0.1:12315", 403, "", evil},
		{"another port of this board", "POST", "application/json", "127.0.0.1:12315", 403, "", "http://127.0.0.1:8080"},
		{"a sandboxed frame", "POST", "application/json", "127.0.0.1:12315", 403, "", "null"},
		{"cross-site without an origin", "POST", "application/json", "127.0.0.1:12315", 403, "cross-site", ""},
		{"another port, as the browser sees it", "DELETE", "", "127.0.0.1:12315", 403, "same-site", ""},

		{"a preflight for JSON or DELETE", "OPTIONS", "", "127.0.0.1:12315", 405, "", evil},
		{"DNS rebinding, JSON", "POST", "application/json", "evil.example:12315", 421, "same-origin", evil},
		{"DNS rebinding, DELETE", "DELETE", "", "evil.example:12315", 421, "same-origin", evil},
		{"DNS rebinding, a preflight", "OPTIONS", "", "evil.example:12315", 421, "", evil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := &updater{}
			r := request(tt.method, "/api/v1.0/download", goodJob)
			r.Host = tt.host
			if tt.site != "" {
				r.Header.Set("Sec-Fetch-Site", tt.site)
			}
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			r.Header.Del("Content-Type")
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			resp, body := do(t, newAPI(u), r)
			if resp.StatusCode != tt.want || !strings.HasPrefix(body, `{"code":`) {
				t.Errorf("HTTP %d %s, want %d in the envelope", resp.StatusCode, body, tt.want)
			}
			for name := range resp.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s: %s allows requests of other origins", name, resp.Header.Get(name))
				}
			}
			if len(u.started)+u.resets != 0 {
				t.Error("the page reached the updater")
			}
		})
	}
}

// Other sites can neither read a reply nor load it as a part of a page.
func TestRepliesAreForThisOriginOnly(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ota_build_info 1\n")) })
	h := deviceapi.New(deviceapi.Config{Updater: &updater{}, Metrics: metrics, Addrs: []string{"127.0.0.1:12315"}, Log: quiet()})
	for _, tt := range []struct {
		method, path string
		handler      http.Handler
	}{
		{"GET", "/progress", h}, {"GET", "/metrics", h}, {"GET", "/nowhere", h}, {"POST", "/api/v1.0/download", h},
		{"OPTIONS", "/progress", h}, {"GET", "/metrics", deviceapi.NewMetrics(metrics)}, {"GET", "/", deviceapi.NewMetrics(metrics)},
	} {
		resp, _ := do(t, tt.handler, request(tt.method, tt.path, ""))
		if got := resp.Header.Get("Cross-Origin-Resource-Policy"); got != "same-origin" {
			t.Errorf("%s %s: Cross-Origin-Resource-Policy %q", tt.method, tt.path, got)
		}
	}
}

// net/http would answer "OPTIONS *" itself, whoever sends it.
func TestOptionsOfTheServerPassTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := deviceapi.New(deviceapi.Config{Updater: &updater{}, Token: "correct horse", Addrs: []string{"127.0.0.1:12315"}, Log: quiet()})
		l, stop, ended := serve(t, h)
		for header, want := range map[string]int{
			"Host: evil.example": 421,
			"Host: localhost":    401,
			"Host: localhost\r\nAuthorization: Bearer correct horse": 404,
		} {
			if status, err := answered(t, l.dial(t), "OPTIONS * HTTP/1.1\r\n"+header+"\r\n\r\n"); err != nil || status != want {
				t.Errorf("%q: %d, %v, want %d", header, status, err, want)
			}
		}
		stop()
		<-ended
	})
}

func TestJSONMayCarryACharset(t *testing.T) {
	u := &updater{}
	r := request("POST", "/api/v1.0/download", goodJob)
	r.Header.Set("Content-Type", "Application/JSON; charset=utf-8")
	if _, body := do(t, newAPI(u), r); len(u.started) != 1 {
		t.Error(body)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	const limit = 64 << 10
	for _, tt := range []struct {
		name, method string
		size         int
		chunked      bool
		want         int
	}{
		{"64 KiB", "POST", limit, false, 200},
		{"64 KiB in chunks", "POST", limit, true, 200},
		{"a byte more", "POST", limit + 1, false, 413},
		{"a byte more in chunks", "POST", limit + 1, true, 413},
		{"a byte more for a handler that reads no body", "DELETE", limit + 1, false, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := &updater{}
			padded := goodJob[:len(goodJob)-1] + strings.Repeat(" ", tt.size-len(goodJob)) + "}"
			r := request(tt.method, "/api/v1.0/download", padded)
			if tt.chunked {
				r.ContentLength = -1
			}
			resp, body := do(t, newAPI(u), r)
			if resp.StatusCode != tt.want {
				t.Errorf("HTTP %d %s, want %d", resp.StatusCode, body, tt.want)
			}
			if reached := len(u.started)+u.resets == 1; reached != (tt.want == 200) {
				t.Errorf("started %v, %d resets", u.started, u.resets)
			}
		})
	}
}

func TestCommandsNeedTheToken(t *testing.T) {
	const token = "correct horse"
	for _, tt := range []struct {
		name, method, path, authorization string
		want                              int
	}{
		{"POST without", "POST", "/api/v1.0/download", "", 401},
		{"POST with another", "POST", "/api/v1.0/download", "Bearer wrong", 401},
		{"POST with a part of it", "POST", "/api/v1.0/download", "Bearer correct", 401},
		{"POST with it as a password", "POST", "/api/v1.0/download", "Basic " + token, 401},
		{"POST with it", "POST", "/api/v1.0/download", "Bearer " + token, 200},
		{"POST with it, the scheme in lower case", "POST", "/api/v1.0/download", "bearer " + token, 200},
		{"DELETE without", "DELETE", "/api/v1.0/download", "", 401},
		{"DELETE with it", "DELETE", "/api/v1.0/download", "Bearer " + token, 200},
		{"progress without", "GET", "/progress", "", 200},
		{"health without", "GET", "/healthz", "", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := &updater{}
			var log bytes.Buffer
			h := deviceapi.New(deviceapi.Config{Updater: u, Token: token, Addrs: []string{"127.0.0.1:12315"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			r := request(tt.method, tt.path, goodJob)
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			resp, body := do(t, h, r)
			if resp.StatusCode != tt.want {
				t.Errorf("HTTP %d %s, want %d", resp.StatusCode, body, tt.want)
			}
			if challenge := resp.Header.Get("WWW-Authenticate") == "Bearer"; challenge != (tt.want == 401) {
				t.Errorf("WWW-Authenticate %q", resp.Header.Get("WWW-Authenticate"))
			}
			if reached := len(u.started)+u.resets > 0; reached && tt.want == 401 {
				t.Error("the updater was reached")
			}
			if strings.Contains(log.String()+body, token) {
				t.Errorf("the token was shown: %s %s", log.String(), body)
			}
		})
	}
}
