package origintest_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/netio/origintest"
)

// onBothNetworks runs a test over TCP and in memory: a fault must look the
// same.
func onBothNetworks(t *testing.T, test func(*testing.T, origintest.Config)) {
	t.Run("tcp", func(t *testing.T) { test(t, origintest.Config{}) })
	t.Run("memory", func(t *testing.T) { test(t, origintest.Config{InMemory: true}) })
}

func TestCutsAreExact(t *testing.T) {
	big := origintest.Object{Size: 300_000, Seed: 2}
	tests := []struct {
		name string
		rule *origintest.Rule
		from string
		body int // bytes received; -1: not even a header
		end  error
	}{
		{"reset", on(1).ResetAt(200_001), "bytes=0-", 200_001, syscall.ECONNRESET},
		{"reset in a range", on(1).ResetAt(200_001), "bytes=200000-", 1, syscall.ECONNRESET},
		{"reset where the range starts", on(1).ResetAt(200_001), "bytes=200001-", 0, syscall.ECONNRESET},
		{"reset before the range", on(1).ResetAt(200_001).Close(), "bytes=299000-", 1000, nil},
		{"reset after bytes", on(1).ResetAfter(500), "bytes=1000-", 500, syscall.ECONNRESET},
		{"reset after the last byte", on(1).ResetAt(300_000), "bytes=299000-", 1000, syscall.ECONNRESET},
		{"fin", on(1).FinAt(200_001), "bytes=0-", 200_001, nil},
		{"fin after bytes", on(1).FinAfter(1), "bytes=1000-", 1, nil},
		{"nearest of several", on(1).ResetAt(200).FinAt(100), "bytes=0-", 100, nil},
		{"reset at once", on(1).ResetEarly(), "bytes=0-", -1, syscall.ECONNRESET},
		{"fin at once", on(1).FinEarly(), "bytes=0-", -1, nil},
		{"in the text of an error", on(1).Status(500).Text(strings.Repeat("e", 90)).FinAt(40), "bytes=0-", 40, nil},
		{"announced too long", on(1).ContentLength("999999"), "bytes=299000-", 1000, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onBothNetworks(t, func(t *testing.T, config origintest.Config) {
				config.Object, config.Script = big, []*origintest.Rule{tt.rule}
				o := origintest.NewConfig(t, config)
				c := dial(t, o)
				c.get(tt.from)
				got, err := c.rest()
				if !errors.Is(err, tt.end) {
					t.Errorf("connection ended with %v, want %v", err, tt.end)
				}
				_, content, found := strings.Cut(string(got), "\r\n\r\n")
				if tt.body < 0 && len(got) > 0 || tt.body >= 0 && (!found || len(content) != tt.body) {
					t.Errorf("%d bytes of body, header %v; want %d", len(content), found, tt.body)
				}
				if sent := o.Requests()[0].BodyBytes; sent != int64(max(0, tt.body)) {
					t.Errorf("recorded %d bytes of body, want %d", sent, tt.body)
				}
			})
		})
	}
}

func TestStallLastsUntilReleased(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, config origintest.Config) {
		config.Object, config.Script = object, []*origintest.Rule{always().StallEarly().StallAt(600)}
		o := origintest.NewConfig(t, config)
		c := dial(t, o)
		c.get("bytes=400-")
		if n := <-o.Stalled(); n != 1 {
			t.Errorf("request %d stalled, want 1", n)
		}
		if r := o.Requests()[0]; r.Status != 0 || r.BodyBytes != 0 {
			t.Errorf("status %d and %d bytes went out before an early stall", r.Status, r.BodyBytes)
		}
		o.Release()
		resp := c.response()
		first := make([]byte, 200)
		if _, err := io.ReadFull(resp.Body, first); err != nil {
			t.Fatal(err)
		}
		<-o.Stalled()
		if n := o.BytesServed(); n != 200 {
			t.Errorf("%d bytes served before the stall, want 200", n)
		}
		o.Release()
		if rest := body(t, resp); string(first)+string(rest) != part(object, 400, 1000) {
			t.Error("the body is not the range")
		}
	})
}

func TestStalledResponseEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, c := start(t, on(1).StallAt(0))
		c.get("bytes=0-")
		c.response()
		synctest.Wait()
		before := o.Requests()[0].Done
		c.conn.Close()
		synctest.Wait()
		if after := o.Requests()[0].Done; before || !after {
			t.Errorf("done: %v while stalled, %v after the client closed; want false, true", before, after)
		}
	})
}

func TestResetDiscardsNoBytes(t *testing.T) {
	o := origintest.New(t, origintest.Object{Size: 8 << 20}, on(1).ResetAt(4<<20))
	c := dial(t, o)
	// With a small buffer, most bytes are still in the send queue at the end.
	if err := c.conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	c.get("bytes=0-")
	resp := c.response()
	if n, err := io.Copy(io.Discard, resp.Body); n != 4<<20 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d bytes, then %v; want %d and a reset", n, err, 4<<20)
	}
}

func TestStallEndsWithTheConnection(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, config origintest.Config) {
		config.Object, config.Script = object, []*origintest.Rule{on(1).StallAt(0)}
		o := origintest.NewConfig(t, config)
		c := dial(t, o)
		c.get("bytes=0-")
		c.response()
		<-o.Stalled()
		c.conn.Close()
		next := dial(t, o) // a misuse if the first connection were still open
		next.get("bytes=0-")
		if got := body(t, next.response()); len(got) != 1000 {
			t.Errorf("%d bytes, want 1000", len(got))
		}
	})
}

func TestCloseEndsAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine remains
		o, c := start(t, always().StallAt(10))
		c.get("bytes=0-")
		resp := c.response()
		ended := make(chan string)
		go func() {
			got, _ := io.ReadAll(resp.Body)
			ended <- string(got)
		}()
		<-o.Stalled()
		o.Close()
		if got := <-ended; got != part(object, 0, 10) {
			t.Errorf("got %q, want the first ten bytes of the object", got)
		}
	})
}

func TestDelaysTakeTheirTime(t *testing.T) {
	tests := []struct {
		name        string
		rule        *origintest.Rule
		link        origintest.Link
		head, whole time.Duration
	}{
		{"none", always(), origintest.Link{}, 0, 0},
		{"header", always().HeaderDelay(40 * time.Second), origintest.Link{}, 40 * time.Second, 40 * time.Second},
		{"drip", always().Drip(100, time.Second), origintest.Link{}, 0, 9 * time.Second},
		{"latency", always(), origintest.Link{Latency: 300 * time.Millisecond}, 300 * time.Millisecond, 300 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := origintest.NewConfig(t, origintest.Config{Object: object, Script: []*origintest.Rule{tt.rule}, Link: tt.link, InMemory: true})
				c := dial(t, o)
				begin := time.Now()
				c.get("bytes=0-")
				resp := c.response()
				if d := time.Since(begin); d != tt.head {
					t.Errorf("header after %v, want %v", d, tt.head)
				}
				body(t, resp)
				if d := time.Since(begin); d != tt.whole {
					t.Errorf("body after %v, want %v", d, tt.whole)
				}
			})
		})
	}
}

func TestSurplus(t *testing.T) {
	received := func(c *rawClient) []byte { return body(c.t, c.response()) }
	beyond := func(c *rawClient) []byte {
		got, _ := c.rest()
		_, content, _ := strings.Cut(string(got), "\r\n\r\n")
		return []byte(content)
	}
	tests := []struct {
		name string
		rule *origintest.Rule
		read func(*rawClient) []byte
	}{
		{"beyond Content-Length", always().Surplus(7), beyond},
		{"in chunks", always().Chunked().Surplus(7), received},
		{"until close", always().UntilClose().Surplus(7), received},
		{"within a longer length", always().ContentLength("607").Surplus(7), received},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := origintest.New(t, object, tt.rule)
			c := dial(t, o)
			c.get("bytes=400-")
			if got := tt.read(c); string(got) != part(object, 400, 1000)+strings.Repeat("\xEE", 7) {
				t.Errorf("%d bytes, want the range and 7 more", len(got))
			}
			if n := o.BytesServed(); n != 600 {
				t.Errorf("%d bytes of the object, want 600", n)
			}
		})
	}
}

func TestEndlessText(t *testing.T) {
	for name, rule := range map[string]*origintest.Rule{
		"until close": always().Status(500).EndlessText(),
		"chunked":     always().Status(500).EndlessText().Chunked(),
	} {
		_, c := start(t, rule)
		c.get("bytes=0-")
		resp := c.response()
		if n, err := io.CopyN(io.Discard, resp.Body, 10<<20); err != nil || resp.StatusCode != 500 {
			t.Errorf("%s: %d, %d bytes, %v; want 500 and 10 MiB", name, resp.StatusCode, n, err)
		}
	}
}

func TestConnectionClose(t *testing.T) {
	for name, tt := range map[string]struct {
		rule      *origintest.Rule
		announced bool
	}{
		"announced": {always().Close(), true},
		"silent":    {always().CloseSilently(), false},
	} {
		c := dial(t, origintest.New(t, object, tt.rule))
		c.get("bytes=0-")
		resp := c.response()
		body(t, resp)
		if more, err := c.rest(); resp.Close != tt.announced || len(more) > 0 || err != nil {
			t.Errorf("%s: Connection: close %v, then %q, %v; want %v and the end", name, resp.Close, more, err, tt.announced)
		}
	}
}

func TestDownRefusesConnections(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, config origintest.Config) {
		config.Object, config.Allow = object, origintest.TwoConnections
		o := origintest.NewConfig(t, config)
		before := dial(t, o)
		before.get("bytes=0-")
		body(t, before.response())
		o.Down()
		if _, err := o.Dial(t.Context(), "", ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial while down: %v, want refused", err)
		}
		before.get("bytes=0-")
		body(t, before.response())
		if err := o.Up(); err != nil {
			t.Fatal(err)
		}
		after := dial(t, o)
		after.get("bytes=0-")
		body(t, after.response())
	})
}

func TestDownForEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, c := start(t, on(1).FinAt(100).DownFor(5*time.Second))
		c.get("bytes=0-")
		c.rest()
		for _, up := range []bool{false, true} {
			if conn, err := o.Dial(t.Context(), "", ""); (err == nil) != up {
				t.Errorf("dial, up %v: %v", up, err)
			} else if up {
				conn.Close()
			}
			time.Sleep(5*time.Second + 1) // the clock of the bubble
			synctest.Wait()
		}
	})
}

func TestCutConnections(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, config origintest.Config) {
		config.Object, config.CutConnections = object, 2
		o := origintest.NewConfig(t, config)
		for n := 1; n <= 3; n++ {
			conn, err := o.Dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, "G")
			io.WriteString(conn, "ET /package.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\nAccept-Encoding: identity\r\n\r\n")
			got, _ := io.ReadAll(io.LimitReader(conn, 4))
			conn.Close()
			if (string(got) == "HTTP") != (n == 3) {
				t.Errorf("connection %d: got %q", n, got)
			}
		}
	})
}

func TestTruncatedRequestIsNoMisuse(t *testing.T) {
	o := origintest.New(t, object)
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(o.URL(), "http://"), "/package.bin"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET /pack")
	conn.Close()
	o.Close()
	if got := o.Misuses(); len(got) > 0 {
		t.Errorf("misuses %q, want none: the client was killed", got)
	}
}
