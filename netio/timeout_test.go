package netio_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otad/netio"
)

// hang keeps conn open until the client closes it.
func hang(conn net.Conn) {
	io.Copy(io.Discard, conn)
}

// drip writes a header without end, one byte per second.
func drip(conn net.Conn) {
	http.ReadRequest(bufio.NewReader(conn))
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: ")
	for err == nil {
		time.Sleep(time.Second) // the bubble's clock
		_, err = io.WriteString(conn, "x")
	}
}

// connectTo returns a dial function. serve runs on the other end of each
// connection; if it is nil, no dial succeeds.
func connectTo(t *testing.T, serve func(net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		if serve == nil {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		client, server := net.Pipe()
		serving.Go(func() { serve(server) })
		return client, nil
	}
}

func TestSilenceBeforeTheBodyIsATimeout(t *testing.T) {
	const secureURL = "https://127.0.0.1/u"
	tests := []struct {
		name  string
		url   string
		proxy string // empty: none
		serve func(net.Conn)
		want  time.Duration
		stage string
	}{
		{"connect", objectURL, "", nil, 5 * time.Second, "while connecting"},
		{"TLS handshake", secureURL, "", hang, 5 * time.Second, "in the TLS handshake"},
		{"header", objectURL, "", hang, 30 * time.Second, "before the answer"},
		{"header that drips", objectURL, "", drip, 30 * time.Second, "in the answer"},
		// Less than the minute that net/http itself waits for a proxy.
		{"CONNECT to an HTTP proxy", secureURL, "http://proxy.example:3128", hang, 45 * time.Second, "while connecting"},
		{"SOCKS proxy", secureURL, "socks5://proxy.example:1080", hang, 45 * time.Second, "while connecting"},
		{"SOCKS proxy without TLS", objectURL, "socks5://proxy.example:1080", hang, 45 * time.Second, "while connecting"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFetcher(t, netio.Config{ConnectTimeout: 5 * time.Second, HeaderTimeout: 30 * time.Second, Dial: connectTo(t, tt.serve)})
				if tt.proxy != "" {
					f.UseProxy(parse(t, tt.proxy))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begin := time.Now()
				_, err := f.Open(ctx, netio.Request{URL: tt.url})
				if got := wantError(t, err, netio.Transient, netio.ReasonTimeout); !strings.HasPrefix(got.Detail, "timeout "+tt.stage+" (") {
					t.Errorf("detail %q, want it %s", got.Detail, tt.stage)
				}
				if took := time.Since(begin); took != tt.want {
					t.Errorf("gave up after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

func TestDefaultTimeouts(t *testing.T) {
	stall := func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		hang(conn)
	}
	tests := []struct {
		name   string
		serve  func(net.Conn)
		reason netio.Reason
		want   time.Duration
	}{
		{"connect", nil, netio.ReasonTimeout, 10 * time.Second},
		{"header", hang, netio.ReasonTimeout, 30 * time.Second},
		{"body", stall, netio.ReasonStall, 300 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				_, err := fetch(t, newFetcher(t, netio.Config{Dial: connectTo(t, tt.serve)}), netio.Request{URL: objectURL})
				wantError(t, err, netio.Transient, tt.reason)
				if took := time.Since(begin); took != tt.want {
					t.Errorf("gave up after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

func TestSilenceInTheBodyIsAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			for range 5 { // each pause is below ReadTimeout, their sum above
				time.Sleep(40 * time.Second)
				io.WriteString(conn, "x")
			}
			hang(conn)
		})
		f := o.fetcher(t, netio.Config{ReadTimeout: time.Minute})
		body, err := f.Open(t.Context(), netio.Request{URL: objectURL})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		time.Sleep(time.Hour) // a pause of the caller is no stall
		begin := time.Now()
		got, err := io.ReadAll(body)
		wantError(t, err, netio.Transient, netio.ReasonStall)
		if took := time.Since(begin); string(got) != "xxxxx" || took != 4*40*time.Second+time.Minute {
			t.Errorf("read %q in %v", got, took)
		}
	})
}

func TestTimeoutOfAnErrorBody(t *testing.T) {
	tests := []struct {
		name         string
		header, read time.Duration
		want         time.Duration
	}{
		{"as long as a header", 30 * time.Second, 300 * time.Second, 30 * time.Second},
		{"but no longer than for a body", 30 * time.Second, 20 * time.Second, 20 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
					io.WriteString(conn, strings.Replace(response(403, "<Error><Code>AccessDenied</Code>", ""), "Content-Length: 32", "Content-Length: 1048576", 1))
					hang(conn)
				})
				begin := time.Now()
				_, err := o.fetcher(t, netio.Config{HeaderTimeout: tt.header, ReadTimeout: tt.read}).Open(t.Context(), netio.Request{URL: objectURL})
				if e := wantError(t, err, netio.Permanent, ""); e.Detail != "HTTP 403 AccessDenied"+at80 || time.Since(begin) != tt.want {
					t.Errorf("%q after %v, want %v", e.Detail, time.Since(begin), tt.want)
				}
			})
		})
	}
}

func TestBodyOfARedirectIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, func(nth int, _ *http.Request, conn net.Conn) {
			if nth > 0 {
				io.WriteString(conn, whole(object, ""))
				return
			}
			io.WriteString(conn, "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 100\r\n\r\n")
			hang(conn)
		})
		begin := time.Now()
		got, err := fetch(t, o.fetcher(t, netio.Config{}), netio.Request{URL: objectURL})
		if err != nil || string(got) != object || time.Since(begin) != 0 {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begin))
		}
	})
}

func TestRateLimitHoldsAcrossBodies(t *testing.T) {
	for _, limit := range []int64{100, 64 << 10, 10 << 20} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
				io.Copy(conn, endless{})
			})
			// The wait for the rate limit must not count as a stall.
			f := o.fetcher(t, netio.Config{RateLimit: limit, ReadTimeout: time.Millisecond})
			var received int64
			begin := time.Now()
			for range 2 {
				received += readFor(t, f, 5*time.Second)
			}
			want := float64(limit) * time.Since(begin).Seconds()
			if ratio := float64(received) / want; ratio < 0.95 || ratio > 1.05 {
				t.Errorf("limit %d: %d bytes in %v, %.3f of the limit", limit, received, time.Since(begin), ratio)
			}
		})
	}
}

// readFor reads a body of f for d and returns the number of bytes received.
func readFor(t *testing.T, f *netio.Fetcher, d time.Duration) int64 {
	body, err := f.Open(t.Context(), netio.Request{URL: objectURL})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	p := make([]byte, 1<<20)
	for begin := time.Now(); time.Since(begin) < d; {
		if _, err := body.Read(p); err != nil {
			t.Fatal(err)
		}
	}
	return body.Received()
}

func TestRateLimitedReadEndsWithTheContext(t *testing.T) {
	withTimeout := func(parent context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(parent, 3*time.Second)
	}
	withCancel := func(parent context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(parent)
		time.AfterFunc(3*time.Second, cancel)
		return ctx, cancel
	}
	tests := []struct {
		name string
		with func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"deadline", withTimeout, context.DeadlineExceeded},
		{"cancel", withCancel, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tt.with(t.Context())
				defer cancel()
				o := replying(t, whole(strings.Repeat("x", 1000), ""))
				body, err := o.fetcher(t, netio.Config{RateLimit: 100}).Open(ctx, netio.Request{URL: objectURL})
				if err != nil {
					t.Fatal(err)
				}
				defer body.Close()
				if _, err := io.ReadAll(body); err != tt.want {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
		})
	}
}

// trickle returns an origin that sends a body of 1 GB, n bytes every pause.
func trickle(t *testing.T, n int, pause time.Duration) *origin {
	return newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		for err == nil {
			time.Sleep(pause)
			_, err = conn.Write(make([]byte, n))
		}
	})
}

func TestTrickleIsAStall(t *testing.T) {
	tests := []struct {
		name   string
		rate   int64
		bytes  int
		pause  time.Duration
		caller time.Duration // pause of the caller after each read
		stall  string
	}{
		{"below", 100, 99, time.Second, 0, "99 bytes a second for 1m0s, the minimum is 100"},
		{"far below", 100, 1, 4 * time.Second, 0, "0.25 bytes a second for 1m0s, the minimum is 100"},
		{"enough", 100, 100, time.Second, 0, ""},
		{"enough on average", 100, 3000, 29 * time.Second, 0, ""},
		{"slow only because of the caller", 100, 1000, time.Second, time.Minute, ""},
		{"off", 0, 1, time.Second, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := trickle(t, tt.bytes, tt.pause).fetcher(t, netio.Config{ReadTimeout: time.Minute, MinRate: tt.rate})
				body, err := f.Open(t.Context(), netio.Request{URL: objectURL})
				if err != nil {
					t.Fatal(err)
				}
				defer body.Close()
				begin := time.Now()
				for err == nil && time.Since(begin) < 10*time.Minute {
					_, err = body.Read(make([]byte, 1<<20))
					time.Sleep(tt.caller)
				}
				if tt.stall == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if e := wantError(t, err, netio.Transient, netio.ReasonStall); e.Detail != tt.stall+at80 || time.Since(begin) > 2*time.Minute {
					t.Errorf("%q after %v, want %q", e.Detail, time.Since(begin), tt.stall)
				}
			})
		})
	}
}

func TestEndIsWaitedForFiveSeconds(t *testing.T) {
	for name, text := range map[string]string{
		"no last chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789",
		"part of a chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0",
		"not closed":      "HTTP/1.1 200 OK\r\n\r\n0123456789",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
					io.WriteString(conn, text)
					hang(conn)
				})
				begin := time.Now()
				got, err := fetch(t, o.fetcher(t, netio.Config{}), netio.Request{URL: objectURL, Size: 10})
				if took := time.Since(begin); err != nil || string(got) != object || took != 5*time.Second {
					t.Errorf("got %q, %v after %v, want 5 s", got, err, took)
				}
			})
		})
	}
}
