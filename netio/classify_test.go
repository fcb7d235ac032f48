package netio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"otad/netio"
)

// dialError returns the error of package net for a failed connect(2).
func dialError(errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
}

func TestDialError(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		kind   netio.Kind
		reason netio.Reason
	}{
		{"no such host", &net.DNSError{Err: "no such host", Name: "origin.example", IsNotFound: true}, netio.Transient, netio.ReasonDNS},
		{"name server silent", &net.DNSError{Err: "i/o timeout", IsTimeout: true}, netio.Offline, netio.ReasonOffline},
		{"name server fails", &net.DNSError{Err: "server misbehaving", IsTemporary: true}, netio.Offline, netio.ReasonOffline},
		{"no name server", &net.DNSError{Err: "connection refused", UnwrapErr: dialError(syscall.ECONNREFUSED)}, netio.Offline, netio.ReasonOffline},
		{"network unreachable", dialError(syscall.ENETUNREACH), netio.Offline, netio.ReasonOffline},
		{"host unreachable", dialError(syscall.EHOSTUNREACH), netio.Offline, netio.ReasonOffline},
		{"network down", dialError(syscall.ENETDOWN), netio.Offline, netio.ReasonOffline},
		{"no IPv6 address on any interface", dialError(syscall.EADDRNOTAVAIL), netio.Offline, netio.ReasonOffline},
		{"refused", dialError(syscall.ECONNREFUSED), netio.Transient, netio.ReasonConnect},
		{"forbidden by a firewall", dialError(syscall.EPERM), netio.Transient, netio.ReasonConnect},
		{"timed out", dialError(syscall.ETIMEDOUT), netio.Transient, netio.ReasonTimeout},
		{"no CA certificates on the board", x509.SystemRootsError{}, netio.Transient, netio.ReasonTLS},
		{"certificate of a wrong kind", x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}, netio.Transient, netio.ReasonTLS},
		{"unknown error", errors.New("unknown"), netio.Transient, netio.ReasonConnect},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFetcher(t, netio.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, tt.err }})
			_, err := f.Open(t.Context(), netio.Request{URL: "https://origin.example/u.bin"})
			first := wantError(t, err, tt.kind, tt.reason)
			if !errors.Is(err, tt.err) {
				t.Errorf("%v does not wrap its cause", err)
			}

			// The same after a redirect, when a response has come before.
			o := replying(t, redirectTo("https://origin.example/u.bin"))
			f = newFetcher(t, netio.Config{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr != "127.0.0.1:80" {
					return nil, tt.err
				}
				return o.dial(ctx, network, addr)
			}})
			_, err = f.Open(t.Context(), netio.Request{URL: objectURL})
			want := strings.TrimSuffix(first.Detail, ")") + ", redirected from http://127.0.0.1:80)"
			if got := wantError(t, err, tt.kind, tt.reason); got.Detail != want {
				t.Errorf("after a redirect: %q, want %q", got.Detail, want)
			}
		})
	}
}

// listen calls serve for each TCP connection to the URL that it returns. Unlike
// an origin it has real sockets, with their errors.
func listen(t *testing.T, scheme string, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn.(*net.TCPConn))
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-served
	})
	return fmt.Sprintf("%s://%s/u.bin", scheme, l.Addr())
}

// respond reads a request, writes text, and then calls last.
func respond(text string, last func(*net.TCPConn)) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		io.WriteString(conn, text)
		last(conn)
	}
}

func hangUp(*net.TCPConn) {}

func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
}

func TestBrokenConnection(t *testing.T) {
	hello := func(conn *net.TCPConn) { conn.Read(make([]byte, 4096)) }
	tests := []struct {
		name   string
		scheme string
		serve  func(*net.TCPConn)
		reason netio.Reason
	}{
		{"closed before the response", "http", respond("", hangUp), netio.ReasonReset},
		{"reset before the response", "http", respond("", reset), netio.ReasonReset},
		{"closed in the header", "http", respond("HTTP/1.1 200 OK\r\nDate: now\r\n", hangUp), netio.ReasonReset},
		{"not HTTP", "http", respond("220 mail.example ESMTP\r\n", hangUp), netio.ReasonOther},
		{"bad header", "http", respond("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", hangUp), netio.ReasonOther},
		{"closed in the handshake", "https", hello, netio.ReasonTLS},
		{"reset in the handshake", "https", func(c *net.TCPConn) { hello(c); reset(c) }, netio.ReasonTLS},
		{"no TLS", "https", func(c *net.TCPConn) { hello(c); io.WriteString(c, "SSH-2.0-OpenSSH\r\n") }, netio.ReasonTLS},
		{"http on the https port", "https", func(c *net.TCPConn) { hello(c); io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, netio.ReasonTLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newFetcher(t, netio.Config{}).Open(t.Context(), netio.Request{URL: listen(t, tt.scheme, tt.serve)})
			wantError(t, err, netio.Transient, tt.reason)
		})
	}
}

func TestResetInTheBody(t *testing.T) {
	seen := make(chan struct{})
	u := listen(t, "http", respond("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", func(conn *net.TCPConn) {
		<-seen
		reset(conn)
	}))
	body, err := newFetcher(t, netio.Config{}).Open(t.Context(), netio.Request{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	_, err = io.ReadFull(body, make([]byte, 4))
	close(seen)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(body)
	wantError(t, err, netio.Transient, netio.ReasonReset)
}

// failingConn returns an error where the data of the origin end.
type failingConn struct {
	net.Conn
	err error
}

func (c failingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		err = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", c.err)}
	}
	return n, err
}

func TestErrorInTheBody(t *testing.T) {
	tests := []struct {
		errno  syscall.Errno
		reason netio.Reason
	}{
		{syscall.ENETUNREACH, netio.ReasonReset},
		{syscall.EHOSTUNREACH, netio.ReasonReset},
		{syscall.ENETDOWN, netio.ReasonReset},
		{syscall.EPIPE, netio.ReasonReset},
		{syscall.ECONNRESET, netio.ReasonReset},
		{syscall.ETIMEDOUT, netio.ReasonTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.errno.Error(), func(t *testing.T) {
			o := replying(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123")
			f := newFetcher(t, netio.Config{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := o.dial(ctx, network, addr)
				return failingConn{conn, tt.errno}, err
			}})
			got, err := fetch(t, f, netio.Request{URL: objectURL})
			wantError(t, err, netio.Transient, tt.reason)
			if string(got) != "0123" {
				t.Errorf("read %q before the error", got)
			}
		})
	}
}

// unwritableConn returns an unknown error for each Write.
type unwritableConn struct{ net.Conn }

func (unwritableConn) Write([]byte) (int, error) {
	return 0, errors.New("unknown")
}

func TestRequestThatCannotBeSent(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	f := newFetcher(t, netio.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return unwritableConn{client}, nil }})
	_, err := f.Open(t.Context(), netio.Request{URL: objectURL})
	wantError(t, err, netio.Transient, netio.ReasonReset)
}

// TestMistakesAreNamed checks that the text shows what is set up wrong.
func TestMistakesAreNamed(t *testing.T) {
	ca := newAuthority(t)
	cert := []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)}
	overTLS := func(c *tls.Config) string {
		return listen(t, "https", func(conn *net.TCPConn) { tls.Server(conn, c).Handshake() })
	}
	renegotiation := &net.OpError{Op: "local error", Err: errors.New("tls: no renegotiation")}
	tests := []struct {
		name   string
		url    string
		reason netio.Reason
		want   string
	}{
		{"https to an http port", listen(t, "https", func(c *net.TCPConn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}), netio.ReasonTLS, "TLS broke in the TLS handshake: this port is http, the URL is https"},
		{"http to a TLS port", listen(t, "http", respond("\x15\x03\x03\x00\x02\x02\x46", hangUp)), netio.ReasonOther, ": this port is https, the URL is http"},
		{"http to an https server", strings.Replace(serveTLS(t, &tls.Config{Certificates: cert}, serveObject), "https", "http", 1), "", "HTTP 400 Bad Request: this port is https, the URL is http"},
		{"http to nginx", listen(t, "http", respond(response(400, "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>", ""), hangUp)), "", "HTTP 400 Bad Request: this port is https"},
		{"http to Apache", listen(t, "http", respond(response(400, "<!DOCTYPE HTML>\n<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />", ""), hangUp)), "", "HTTP 400 Bad Request: this port is https"},
		{"another 400", listen(t, "http", respond(response(400, "<html>", ""), hangUp)), "", "HTTP 400 Bad Request ("},
		{"HTTP/2 only over TLS", overTLS(&tls.Config{Certificates: cert, NextProtos: []string{"h2-only"}}), netio.ReasonTLS, ": the server supports HTTP/2 only"},
		{"HTTP/2 only", listen(t, "http", respond("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\xff\xff", hangUp)), netio.ReasonOther, ": the server supports HTTP/2 only"},
		{"Transfer-Encoding: identity", listen(t, "http", respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nx", hangUp)), netio.ReasonOther, ": Transfer-Encoding: identity, which"},
		{"renegotiation", "", netio.ReasonTLS, ": the server requires TLS renegotiation, which is not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := netio.Config{CAFile: ca.file}
			if tt.url == "" {
				tt.url = "https://origin.test/"
				c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, renegotiation }
			}
			_, err := newFetcher(t, c).Open(t.Context(), netio.Request{URL: tt.url, Offset: 4})
			kind := netio.Transient
			if tt.reason == "" {
				kind = netio.Permanent
			}
			if e := wantError(t, err, kind, tt.reason); !strings.Contains(e.Detail, tt.want) {
				t.Errorf("%q, want %q", e.Detail, tt.want)
			}
		})
	}
}
