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

// objectURL is the URL of the origins in these tests. It is loopback, where
// http is accepted.
const objectURL = "http://127.0.0.1/fw/u.bin"

// origin is a server on in-memory connections, so that it also works in a
// synctest bubble. It reads one request from each connection and calls script
// to write the response. Unlike origintest it sends any text, malformed or not.
type origin struct {
	script func(nth int, req *http.Request, conn net.Conn)

	mu       sync.Mutex
	requests []*http.Request
	addrs    []string
	serving  sync.WaitGroup
}

func newOrigin(
	t *testing.T, script func(nth int, req *http.Request, conn net.Conn),
) *origin {
	o := &origin{script: script}
	t.Cleanup(o.serving.Wait)
	return o
}

// replying returns an origin that sends the next of the texts on each
// connection, and the last one on all further connections.
func replying(t *testing.T, texts ...string) *origin {
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

// received returns the requests so far.
func (o *origin) received() []*http.Request {
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

// asError returns err as the *Error that it must be.
func asError(t *testing.T, err error) *netio.Error {
	t.Helper()
	var e *netio.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want a *netio.Error", err, err)
	}
	return e
}

// wantError checks that err is an *Error of this kind and reason, and returns
// it.
func wantError(
	t *testing.T, err error, kind netio.Kind, reason netio.Reason,
) *netio.Error {
	t.Helper()
	e := asError(t, err)
	if e.Kind != kind || e.Reason != reason {
		t.Errorf("error %v/%q (%s), want %v/%q", e.Kind, e.Reason, e.Detail, kind, reason)
	}
	return e
}

// partial returns a 206 with the bytes of body, the first of which is at start.
func partial(start, total int, body, header string) string {
	end := start + len(body) - 1
	header += fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", start, end, total)
	return response(http.StatusPartialContent, body, header)
}

// whole returns a 200.
func whole(body, header string) string {
	return response(http.StatusOK, body, header)
}

// response returns a response of any status.
func response(status int, body, header string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s\r\n%s",
		status, http.StatusText(status), len(body), header, body)
}
