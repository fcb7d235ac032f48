package netio_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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
			f.UseProxy(parse(t, listen(t, "http", answering(refusal(tt.status, "", ""), hangUp))))
			_, err := f.Open(t.Context(), netio.Request{URL: "https://origin.example/u.bin"})
			if got := wantFailure(t, err, tt.kind, tt.reason); got.Status != tt.status || got.Detail != tt.detail {
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

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
