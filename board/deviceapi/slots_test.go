package deviceapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/deviceapi"
)

const (
	reset      = "DELETE /api/v1.0/download HTTP/1.1\r\nHost: localhost\r\n\r\n"
	halfHeader = "GET /progress HTTP/1.1\r\nHost: local"
	halfBody   = "POST /api/v1.0/download HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
)

// isOpen reports whether the server has left c open.
func isOpen(t *testing.T, c net.Conn) bool {
	t.Helper()
	synctest.Wait()
	if err := c.SetReadDeadline(time.Now()); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 1))
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// answered sends a request on c and returns the status of the response, or the
// error of none within a second.
func answered(t *testing.T, c net.Conn, request string) (int, error) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// When all slots are taken, the next client gets that of the connection that
// needs its own least.
func TestTheConnectionThatNeedsItsSlotLeastGoes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		common string         // sent on every connection
		other  map[int]string // sent on these instead
		goes   []int          // in this order, for three more clients
	}{
		{"none has sent a byte", "", nil, []int{0, 1, 2}},
		{"half a header", halfHeader, nil, []int{0, 1, 2}},
		{"half a body", halfBody, nil, []int{0, 1, 2}},
		{"commands keep theirs", "", map[int]string{0: reset, 1: reset, 3: reset}, []int{2, 4, 5}},
		{"half bodies go after half headers", halfBody, map[int]string{7: halfHeader, 5: "", 9: halfHeader}, []int{5, 7, 9}},
		{"half bodies go before commands", reset, map[int]string{7: halfBody, 5: halfHeader, 9: halfBody}, []int{5, 7, 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := deviceapi.New(deviceapi.Config{Updater: hanging{&updater{}}, Addrs: []string{"127.0.0.1:12315"}, Log: quiet(),
					Now: newClock(time.Minute).now})
				l, stop, ended := serve(t, h)
				var open []net.Conn
				for i := range deviceapi.MaxConns {
					text, ok := tt.other[i]
					if !ok {
						text = tt.common
					}
					open = append(open, l.dial(t))
					if text != "" {
						send(t, open[i], text)
					}
					synctest.Wait()
				}
				gone := map[int]bool{}
				for _, goes := range tt.goes {
					time.Sleep(10 * time.Millisecond)
					c := l.dial(t)
					if status, err := answered(t, c, getProgress); err != nil || status != 200 {
						t.Errorf("the next client got %d, %v", status, err)
					}
					gone[goes] = true
					for i, o := range open {
						if isOpen(t, o) == gone[i] {
							t.Errorf("connection %d: open %v, after %v went", i, !gone[i], gone)
						}
					}
					c.Close()
					synctest.Wait()
					refill := l.dial(t) // and keep all slots taken
					go io.WriteString(refill, reset)
					defer refill.Close()
					synctest.Wait()
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				for _, o := range open {
					o.Close()
				}
			})
		})
	}
}

func TestAnIdleConnectionGoesBeforeAWorkingOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop, ended := serve(t, newAPI(&updater{}))
		var open []net.Conn
		for range deviceapi.MaxConns {
			c := l.dial(t)
			if status, err := answered(t, c, getProgress); err != nil || status != 200 {
				t.Fatal(status, err)
			}
			time.Sleep(10 * time.Millisecond)
			open = append(open, c)
		}
		// The oldest connection is used again: now the second has been idle longest.
		if status, err := answered(t, open[0], getProgress); err != nil || status != 200 {
			t.Fatal(status, err)
		}
		if status, err := answered(t, l.dial(t), getProgress); err != nil || status != 200 {
			t.Errorf("the next client got %d, %v", status, err)
		}
		for i, c := range open {
			if isOpen(t, c) == (i == 1) {
				t.Errorf("connection %d: open %v", i, i == 1)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		u := &blocked{&updater{}, release}
		h := deviceapi.New(deviceapi.Config{Updater: u, Addrs: []string{"127.0.0.1:12315"}, Log: quiet(), Now: newClock(time.Minute).now})
		l, stop, ended := serve(t, h)
		var open []net.Conn
		for range deviceapi.MaxConns { // all wait for the machine
			c := l.dial(t)
			send(t, c, reset)
			open = append(open, c)
			synctest.Wait()
		}
		further := l.dial(t)
		if status, err := answered(t, further, getProgress); err == nil {
			t.Errorf("one connection too many was answered: %d", status)
		}
		further.Close()
		for _, c := range open {
			if !isOpen(t, c) {
				t.Error("a command was interrupted")
			}
		}
		close(release)
		for _, c := range open {
			c.SetDeadline(time.Time{})
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
				t.Errorf("response %v, %v", resp, err)
			}
			c.Close()
		}
		if status, err := answered(t, l.dial(t), getProgress); err != nil || status != 200 {
			t.Errorf("afterwards: %d, %v", status, err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// blocked is an updater whose commands wait for release.
type blocked struct {
	*updater
	release chan struct{}
}

func (b blocked) Reset(context.Context) error { <-b.release; return nil }

func TestARefusedClientKeepsNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop, ended := serve(t, newAPI(&updater{}))
		for _, request := range []string{
			"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"PUT /progress HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"GET /progress HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		} {
			c := l.dial(t)
			status, err := answered(t, c, request)
			if err != nil || status < 400 {
				t.Errorf("%q: %d, %v", request, status, err)
			}
			if isOpen(t, c) {
				t.Errorf("%q: the connection is still open after %d", request, status)
			}
		}
		stop()
		<-ended
	})
}

// TestAnswersUnderTenThousandConnections uses real sockets: the kernel's queue of
// connections is part of what has to be fast.
func TestAnswersUnderTenThousandConnections(t *testing.T) {
	want := 10000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if spare := int(min(limit.Cur, 1<<20)) - 500; spare < want {
		t.Logf("only %d files: fewer connections", limit.Cur)
		want = spare
	}
	for _, sent := range []string{"", halfHeader, halfBody} {
		t.Run(fmt.Sprintf("%.20q", sent), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- deviceapi.Serve(ctx, l, newAPI(&updater{}), quiet()) }()
			defer func() {
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			flooding, attack := context.WithTimeout(ctx, 20*time.Second)
			defer attack()
			var opened sync.WaitGroup
			var mu sync.Mutex
			var conns []net.Conn
			const clients = 4 // more would take the processors from the one that asks
			for i := range clients {
				opened.Go(func() {
					// Each address has ports of its own.
					d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}}
					for range want / clients {
						c, err := d.DialContext(flooding, "tcp", l.Addr().String())
						if err != nil {
							return
						}
						io.WriteString(c, sent) // fails when the server has closed it already
						mu.Lock()
						conns = append(conns, c)
						mu.Unlock()
					}
				})
			}
			done := make(chan struct{})
			go func() { opened.Wait(); close(done) }()
			asked, longest := 0, time.Duration(0)
			var late []string
			for open := true; open || asked < 10; asked++ {
				for _, path := range []string{"/healthz", "/progress"} {
					start := time.Now()
					err := ask("http://" + l.Addr().String() + path)
					if took := time.Since(start); err != nil || took > time.Second {
						late = append(late, fmt.Sprintf("%s: %v after %v", path, err, took))
					} else {
						longest = max(longest, took)
					}
				}
				select {
				case <-done:
					open = false
				default:
				}
			}
			t.Logf("%d connections, asked %d times; the longest answer took %v", len(conns), 2*asked, longest)
			// The flood runs in this process: it can keep the one that asks from running.
			if len(late) > 2+asked/2 { // of 2*asked
				t.Errorf("%d of %d requests had no answer within a second: %q", len(late), 2*asked, late)
			}
			if len(conns) < want*9/10 {
				t.Errorf("only %d connections", len(conns))
			}
			for _, c := range conns {
				c.(*net.TCPConn).SetLinger(0) // no TIME_WAIT
				c.Close()
			}
		})
	}
}

// ask gets a page over a connection of its own.
func ask(url string) error {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return nil
}
