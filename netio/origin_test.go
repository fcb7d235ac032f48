package netio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"otad/netio"
)

// objectURL is where the origins of these tests are: loopback, so that http is fine.
const objectURL = "http://127.0.0.1/fw/u.bin"

// An origin is a server on in-memory connections, so that it also works in a synctest bubble. It reads each request and
// leaves the answer to its script, one call a connection.
type origin struct {
	script func(nth int, req *http.Request, conn net.Conn)

	mu       sync.Mutex
	requests []*http.Request
	addrs    []string
	serving  sync.WaitGroup
}

func newOrigin(t *testing.T, script func(nth int, req *http.Request, conn net.Conn)) *origin {
	o := &origin{script: script}
	t.Cleanup(o.serving.Wait)
	return o
}

// saying returns an origin that gives each connection the next of the texts, and the last one again after that.
func saying(t *testing.T, texts ...string) *origin {
	return newOrigin(t, func(nth int, _ *http.Request, conn net.Conn) {
		io.WriteString(conn, texts[min(nth, len(texts)-1)])
	})
}

func (o *origin) dial(_ context.Context, _, addr string) (net.Conn, error) {
	client, server := net.Pipe()
	o.serving.Go(func() {
		defer server.Close()
		req, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			return
		}
		o.mu.Lock()
		nth := len(o.requests)
		o.requests = append(o.requests, req)
		o.addrs = append(o.addrs, addr)
		o.mu.Unlock()
		o.script(nth, req, server)
	})
	return client, nil
}

// asked returns the requests so far.
func (o *origin) asked() []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests
}

// fetcher returns a Fetcher that dials o.
func (o *origin) fetcher(t *testing.T, c netio.Config) *netio.Fetcher {
	t.Helper()
	c.Dial = o.dial
	return newFetcher(t, c)
}

func newFetcher(t testing.TB, c netio.Config) *netio.Fetcher {
	t.Helper()
	f, err := netio.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// fetch opens r and reads all of it.
func fetch(t *testing.T, f *netio.Fetcher, r netio.Request) ([]byte, error) {
	t.Helper()
	body, err := f.Open(t.Context(), r)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// failure returns the Failure that err must be.
func failure(t *testing.T, err error) *netio.Error {
	t.Helper()
	var f *netio.Error
	if !errors.As(err, &f) {
		t.Fatalf("error %v (%T), want a *Failure", err, err)
	}
	return f
}

// wantFailure checks what kind of Failure err is.
func wantFailure(t *testing.T, err error, kind netio.Kind, reason netio.Reason) *netio.Error {
	t.Helper()
	f := failure(t, err)
	if f.Kind != kind || f.Reason != reason {
		t.Errorf("failure %v/%q (%s), want %v/%q", f.Kind, f.Reason, f.Detail, kind, reason)
	}
	return f
}

// partial is a 206 of the bytes that body holds, which begin at start.
func partial(start, total int, body, headers string) string {
	return fmt.Sprintf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n%s\r\n%s",
		start, start+len(body)-1, total, len(body), headers, body)
}

// whole is a 200.
func whole(body, headers string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(body), headers, body)
}

// refusal is an answer with an error status.
func refusal(status int, body, headers string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s\r\n%s", status, http.StatusText(status), len(body), headers, body)
}
