package netio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"testing"

	"otad/netio"
)

func TestProxyRefusal(t *testing.T) {
	tests := []struct {
		status int
		kind   netio.Kind
		reason netio.Reason
		detail string
	}{
		{407, netio.Permanent, "", "the proxy wants other credentials (HTTP 407)"},
		{403, netio.Permanent, "", "the proxy refuses to connect (HTTP 403)"},
		{502, netio.Transient, netio.ReasonConnect, "the proxy cannot reach the origin (HTTP 502)"},
		{503, netio.Transient, netio.ReasonConnect, "the proxy cannot reach the origin (HTTP 503)"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			f := newFetcher(t, netio.Config{})
			proxy := parse(t, listen(t, "http", respond(response(tt.status, "", ""), hangUp)))
			f.UseProxy(proxy)
			tt.detail += " (https://origin.example:443, through the proxy http://" + proxy.Host + ")"
			_, err := f.Open(t.Context(), netio.Request{URL: "https://origin.example/u.bin"})
			if got := wantError(t, err, tt.kind, tt.reason); got.Status != tt.status || got.Detail != tt.detail {
				t.Errorf("status %d, detail %q", got.Status, got.Detail)
			}
		})
	}
}

func TestProxyTunnel(t *testing.T) {
	ca := newAuthority(t)
	origin := parse(t, serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 2, "origin.example", -1, 1)}}, serveObject))
	received := make(chan string, 1)
	proxy := listen(t, "http", func(conn *net.TCPConn) {
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		received <- req.Method + " " + req.RequestURI
		behind, err := net.Dial("tcp", origin.Host)
		if err != nil {
			return
		}
		defer behind.Close()
		io.WriteString(conn, "HTTP/1.1 200 Connected\r\n\r\n")
		go io.Copy(behind, r)
		io.Copy(conn, behind)
	})
	f := newFetcher(t, netio.Config{CAFile: ca.file})
	f.UseProxy(parse(t, proxy))
	got, err := fetch(t, f, netio.Request{URL: "https://origin.example/u.bin"})
	if err != nil || string(got) != object {
		t.Errorf("got %q, %v", got, err)
	}
	if got := <-received; got != "CONNECT origin.example:443" {
		t.Errorf("the proxy received %q", got)
	}
}

// proxyVariable is set in the test's own child process, to the address of the
// proxy in its environment. A child is needed because net/http reads the proxy
// from the environment once per process.
const proxyVariable = "NETIO_TEST_PROXY"

func TestProxyOfTheEnvironment(t *testing.T) {
	if proxy := os.Getenv(proxyVariable); proxy != "" {
		fetchThrough(t, proxy)
		return
	}
	received := make(chan string, 10)
	proxy := listen(t, "http", func(conn *net.TCPConn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		received <- req.Method + " " + req.RequestURI
		io.WriteString(conn, whole(object, ""))
	})
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestProxyOfTheEnvironment$", "-test.timeout=1m")
	cmd.Env = []string{"HTTP_PROXY=" + proxy, proxyVariable + "=" + parse(t, proxy).Host}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	if len(received) != 1 {
		t.Fatalf("the proxy received %d requests, want 1", len(received))
	}
	if got := <-received; got != "GET http://origin.example/u.bin" {
		t.Errorf("the proxy received %q", got)
	}
}

// fetchThrough fetches from a host that only the proxy can reach.
func fetchThrough(t *testing.T, proxy string) {
	f := newFetcher(t, netio.Config{AllowHTTP: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != proxy {
			return nil, fmt.Errorf("dialled %s, the proxy is %s", addr, proxy)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	got, err := fetch(t, f, netio.Request{URL: "http://origin.example/u.bin"})
	if err != nil || string(got) != object {
		t.Errorf("got %q, %v", got, err)
	}
}

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
