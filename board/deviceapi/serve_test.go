package deviceapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/deviceapi"
)

// pipes is a listener over net.Pipe, whose connections use the virtual time of
// the test's bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 12315} }

// tryDial connects if the server is accepting once all goroutines are blocked.
func (p *pipes) tryDial() (net.Conn, bool) {
	synctest.Wait()
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, true
	default:
		return nil, false
	}
}

func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	c, ok := p.tryDial()
	if !ok {
		t.Fatal("the server does not accept")
	}
	return c
}

const getProgress = "GET /progress HTTP/1.1\r\nHost: localhost\r\n\r\n"

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// serve runs Serve in the bubble; stop ends it, and ended has its result.
func serve(t *testing.T, h http.Handler) (l *pipes, stop func(), ended chan error) {
	t.Helper()
	l, ended = newPipes(), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- deviceapi.Serve(ctx, l, h, quiet()) }()
	return l, cancel, ended
}

func TestServeRunsUntilStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop, ended := serve(t, newAPI(&updater{}))
		c := l.dial(t)
		send(t, c, getProgress)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("response %v, %v", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		start := time.Now()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}

func TestServeLetsRequestsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop, ended := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(800 * time.Millisecond)
			io.WriteString(w, "done")
		}))
		c := l.dial(t)
		send(t, c, getProgress)
		synctest.Wait()
		stop()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "done" {
			t.Errorf("body %q, %v", body, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestServeStopsWithinASecondOfAHangingHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		l, stop, ended := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		c := l.dial(t)
		send(t, c, getProgress)
		synctest.Wait()
		start := time.Now()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 1100*time.Millisecond {
			t.Errorf("stopping took %v, want one second", took)
		}
		close(release)
	})
}

func TestServeReturnsTheErrorOfItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, ended := serve(t, http.NotFoundHandler())
		synctest.Wait()
		l.Close() // not by Serve
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve = %v, want net.ErrClosed", err)
		}
	})
}

func TestHandlersAreCancelledWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waiting := make(chan error, 1)
		l, stop, ended := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			waiting <- r.Context().Err()
		}))
		c := l.dial(t)
		go io.Copy(io.Discard, c)
		send(t, c, getProgress)
		synctest.Wait()
		start := time.Now()
		stop()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("the request ended by %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it waited %v longer", took)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestSlowClientsAreCutOff(t *testing.T) {
	for _, tt := range []struct {
		name, sent string
		after      time.Duration
	}{
		{"sends nothing", "", 2 * time.Second},
		{"half a header", "GET /progress HTTP/1.1\r\nHost: local", 2 * time.Second},
		{"half a body", "POST /api/v1.0/download HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, stop, ended := serve(t, newAPI(&updater{}))
				c := l.dial(t)
				if tt.sent != "" {
					send(t, c, tt.sent)
				}
				start := time.Now()
				io.Copy(io.Discard, c)
				if took := time.Since(start); took < tt.after || took > tt.after+time.Second {
					t.Errorf("cut off after %v, want %v", took, tt.after)
				}
				stop()
				<-ended
			})
		})
	}
}

func TestConnectionsThatDoNothingAreClosed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reads bool // the response
		after time.Duration
	}{
		{"idle after a response", true, 30 * time.Second},
		{"reads no response", false, 15 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, stop, ended := serve(t, newAPI(&updater{}))
				c := l.dial(t)
				send(t, c, getProgress)
				start := time.Now()
				if tt.reads {
					resp, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
				} else {
					time.Sleep(tt.after + time.Second)
				}
				if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Error("the connection is still open")
				}
				if took := time.Since(start); took < tt.after || took > tt.after+time.Second {
					t.Errorf("closed after %v, want %v", took, tt.after)
				}
				stop()
				<-ended
			})
		})
	}
}

func TestHeadersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop, ended := serve(t, newAPI(&updater{}))
		c := l.dial(t)
		go io.WriteString(c, "GET /progress HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 16<<10)+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("response %v, %v, want 431", resp, err)
		}
		c.Close()
		stop()
		<-ended
	})
}

// flaky is a listener whose first calls of Accept fail as they do when the
// process has too many open files.
type flaky struct {
	*pipes
	failures int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.failures--; f.failures >= 0 {
		return nil, syscall.EMFILE
	}
	return f.pipes.Accept()
}

func TestFailedAcceptsUseUpNoConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &flaky{newPipes(), 2 * deviceapi.MaxConns}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- deviceapi.Serve(ctx, l, newAPI(&updater{}), quiet()) }()
		time.Sleep(time.Hour)
		l.dial(t).Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// halfCloser records whether its sending half was closed first.
type halfCloser struct {
	net.Conn
	half, whole atomic.Bool
}

func (c *halfCloser) CloseWrite() error {
	c.half.Store(!c.whole.Load())
	return nil
}

func (c *halfCloser) Close() error {
	c.whole.Store(true)
	return c.Conn.Close()
}

// A connection that is closed with unread bytes in it is reset, and the reset
// may arrive before the reply.
func TestARefusalReachesAClientThatIsStillSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop, ended := serve(t, newAPI(&updater{}))
		synctest.Wait()
		here, there := net.Pipe()
		conn := &halfCloser{Conn: there}
		l.conns <- conn
		go io.WriteString(here, "POST /api/v1.0/download HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
			"Transfer-Encoding: chunked\r\n\r\n100000\r\n"+strings.Repeat(" ", 1<<20))
		resp, err := http.ReadResponse(bufio.NewReader(here), nil)
		if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("response %v, %v, want 413", resp, err)
		}
		io.Copy(io.Discard, here) // until the server closes
		if !conn.half.Load() {
			t.Error("the sending half was not closed first")
		}
		stop()
		<-ended
	})
}

// TestOverTCP covers the differences between pipes and TCP.
func TestOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- deviceapi.Serve(ctx, l, newAPI(&updater{}), quiet()) }()
	url := "http://" + l.Addr().String()

	resp, err := http.Post(url+"/api/v1.0/download", "application/json", strings.NewReader(strings.Repeat(" ", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("HTTP %d, want 413", resp.StatusCode)
	}
	if resp, err = http.Get(url + "/progress"); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("HTTP %d, want 200", resp.StatusCode)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
