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

func TestProxyThatRefuses(t *testing.T) {
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
			f.UseProxy(parse(t, listen(t, "http", answering(response(tt.status, "", ""), hangUp))))
			_, err := f.Open(t.Context(), netio.Request{URL: "https://origin.example/u.bin"})
			if got := wantError(t, err, tt.kind, tt.reason); got.Status != tt.status || got.Detail != tt.detail {
				t.Errorf("status %d, detail %q", got.Status, got.Detail)
			}
		})
	}
}

func TestProxyIsConnectedThrough(t *testing.T) {
	ca := newAuthority(t)
	origin := parse(t, serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 2, "origin.example", -1, 1)}}, giveObject))
	asked := make(chan string, 1)
	proxy := listen(t, "http", func(conn *net.TCPConn) {
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		asked <- req.Method + " " + req.RequestURI
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
	if got := <-asked; got != "CONNECT origin.example:443" {
		t.Errorf("the proxy was asked: %s", got)
	}
}

// behindProxy is where a process of its own finds the address of the proxy that its environment names: net/http looks
// there once, and spares loopback.
const behindProxy = "NETIO_TEST_PROXY"

func TestProxyOfTheEnvironmentIsUsed(t *testing.T) {
	if proxy := os.Getenv(behindProxy); proxy != "" {
		fetchThrough(t, proxy)
		return
	}
	asked := make(chan string, 10)
	proxy := listen(t, "http", func(conn *net.TCPConn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		asked <- req.Method + " " + req.RequestURI
		io.WriteString(conn, whole(object, ""))
	})
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestProxyOfTheEnvironmentIsUsed$", "-test.timeout=1m")
	cmd.Env = []string{"HTTP_PROXY=" + proxy, behindProxy + "=" + parse(t, proxy).Host}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	if len(asked) != 1 {
		t.Fatalf("the proxy was asked %d times, want 1", len(asked))
	}
	if got := <-asked; got != "GET http://origin.example/u.bin" {
		t.Errorf("the proxy was asked: %s", got)
	}
}

// fetchThrough fetches from a host that only the proxy knows.
func fetchThrough(t *testing.T, proxy string) {
	f := newFetcher(t, netio.Config{AllowHTTP: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != proxy {
			return nil, fmt.Errorf("%s is dialled, the proxy is %s", addr, proxy)
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
