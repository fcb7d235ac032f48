package origintest_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"otad/netio/origintest"
)

func TestRequestsAreRecorded(t *testing.T) {
	o := origintest.New(t, object, on(2).Status(404).Text("gone"))
	c := dial(t, o)
	c.get("bytes=400-", `If-Match: "e"`, "X-Mine: 1")
	body(t, c.response())
	c.send("GET /other?q=1 HTTP/1.1", "Range: bytes=0-", "Accept-Encoding: identity")
	body(t, c.response())
	c.conn.Close()
	o.Close()

	all := o.Requests()
	if len(all) != 2 {
		t.Fatalf("%d requests, want 2", len(all))
	}
	first, second := all[0], all[1]
	if first.N != 1 || first.Conn != 1 || first.Method != "GET" || first.Target != "/package.bin" || first.Host != "origin.test" ||
		first.Range != "bytes=400-" || first.IfMatch != `"e"` || first.Header.Get("X-Mine") != "1" ||
		first.Status != 206 || first.Start != 400 || first.BodyBytes != 600 || !first.Done {
		t.Errorf("first request recorded as %+v", first)
	}
	if second.N != 2 || second.Target != "/other?q=1" || second.Status != 404 || second.Start != -1 || second.BodyBytes != 4 || !second.Done {
		t.Errorf("second request recorded as %+v", second)
	}
	if n := o.BytesServed(); n != 600 {
		t.Errorf("%d bytes served, want 600, without the text of the error", n)
	}
	all[0].Header.Set("X-Mine", "2")
	if got := o.Requests()[0].Header.Get("X-Mine"); got != "1" {
		t.Errorf("a change of the copy changed the record: X-Mine %q", got)
	}
}

func TestBytesServedTwice(t *testing.T) {
	replaced := origintest.Object{Size: 1000, Seed: 99}
	tests := []struct {
		name   string
		ranges []string
		rules  []*origintest.Rule
		twice  int64
	}{
		{"nothing", nil, nil, 0},
		{"once", []string{"bytes=0-"}, nil, 0},
		{"side by side", []string{"bytes=0-399", "bytes=400-"}, nil, 0},
		{"overlap", []string{"bytes=0-499", "bytes=400-"}, nil, 100},
		{"same", []string{"bytes=0-", "bytes=0-"}, nil, 1000},
		{"three times counts once", []string{"bytes=0-9", "bytes=0-9", "bytes=5-9"}, nil, 10},
		{"two islands", []string{"bytes=0-99", "bytes=50-149", "bytes=120-200"}, nil, 80},
		{"inside", []string{"bytes=0-", "bytes=10-19", "bytes=30-39"}, nil, 20},
		{"backwards", []string{"bytes=500-", "bytes=0-599"}, nil, 100},
		{"cut responses count the bytes sent", []string{"bytes=0-", "bytes=0-"}, []*origintest.Rule{on(1).FinAt(30)}, 30},
		{"bytes of another object", []string{"bytes=0-", "bytes=0-"}, []*origintest.Rule{origintest.From(2).Replace(replaced)}, 0},
		{"earlier start", []string{"bytes=0-499", "bytes=500-"}, []*origintest.Rule{on(2).StartEarlier(60)}, 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := origintest.NewConfig(t, origintest.Config{Object: object, Script: tt.rules, InMemory: true})
			for _, r := range tt.ranges {
				c := dial(t, o)
				c.get(r, "Connection: close")
				c.rest()
			}
			if got := o.ServedTwice(); got != tt.twice {
				t.Errorf("%d bytes served twice, want %d", got, tt.twice)
			}
		})
	}
}

func TestReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, c := start(t, on(1).Drip(100, 1))
		half, all := o.Reached(500), o.Reached(1000)
		c.get("bytes=0-")
		resp := c.response()
		if _, err := io.ReadFull(resp.Body, make([]byte, 400)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if closed(half) {
			t.Error("half is closed before its last byte")
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if late := o.Reached(500); !closed(half) || closed(all) || !closed(late) {
			t.Errorf("closed: half %v, all %v, late call %v; want true, false, true", closed(half), closed(all), closed(late))
		}
	})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestUnreadBytesOfAKilledClientDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := origintest.NewConfig(t, origintest.Config{Object: origintest.Object{Size: 1 << 20}, InMemory: true})
		c := dial(t, o)
		c.get("bytes=0-")
		head := make([]byte, 4096)
		n, err := io.ReadFull(c.conn, head)
		if err != nil {
			t.Fatal(err)
		}
		c.conn.Close()
		synctest.Wait()
		headBytes := int64(len("\r\n\r\n")) + int64(bytes.Index(head, []byte("\r\n\r\n")))
		if got, want := o.BytesServed(), int64(n)-headBytes; got != want {
			t.Errorf("%d bytes served, want the %d that were read", got, want)
		}
		next := dial(t, o)
		next.get(fmt.Sprintf("bytes=%d-", int64(n)-headBytes))
		body(t, next.response())
		if got := o.ServedTwice(); got != 0 {
			t.Errorf("%d bytes served twice, want 0: the client did not read the last ones", got)
		}
	})
}
