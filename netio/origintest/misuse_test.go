package origintest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"otad/netio/origintest"
)

// strictTest is a TB that records the reports.
type strictTest struct {
	*testing.T
	reported []string
}

func (s *strictTest) Errorf(format string, args ...any) {
	s.reported = append(s.reported, fmt.Sprintf(format, args...))
}

func TestMisuseIsReported(t *testing.T) {
	const good = "Range: bytes=0-\r\nAccept-Encoding: identity\r\n"
	tests := []struct {
		name    string
		request string
		misuse  origintest.Misuse
		report  string // contained in the only report; "": none
	}{
		{"well-behaved", "GET / HTTP/1.1\r\nHost: h\r\n" + good, 0, ""},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: h\r\n" + good, origintest.OtherMethod, "method HEAD"},
		{"no Range", "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: identity\r\n", origintest.NoRange, "0 Range fields"},
		{"two Ranges", "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=5-\r\n" + good, origintest.NoRange, "2 Range fields"},
		{"gzip", "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\nAccept-Encoding: gzip\r\n", origintest.OtherEncoding, "gzip"},
		{"any encoding", "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\n", origintest.OtherEncoding, "Accept-Encoding []"},
		{"Authorization", "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n" + good, origintest.Authorization, "Authorization"},
		{"x-amz", "GET / HTTP/1.1\r\nHost: h\r\nx-amz-checksum-mode: ENABLED\r\n" + good, origintest.AmzHeader, "X-Amz-Checksum-Mode"},
		{"Referer", "GET / HTTP/1.1\r\nHost: h\r\nReferer: http://a/?sig=1\r\n" + good, origintest.Referer, "Referer"},
		{"no Host", "GET / HTTP/1.1\r\n" + good, origintest.Malformed, "no Host"},
		{"nonsense", "GET\r\n", origintest.Malformed, "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := misuses(t, tt.request, 0)
			if none := tt.report == ""; none && len(got) > 0 ||
				!none && (len(got) != 1 || !strings.Contains(got[0], tt.report)) {
				t.Errorf("reported %q, want only %q", got, tt.report)
			}
			if got := misuses(t, tt.request, tt.misuse); len(got) > 0 {
				t.Errorf("reported %q, which is allowed", got)
			}
		})
	}
}

// misuses sends one request and returns the reports. It checks that Misuses has
// as many.
func misuses(t *testing.T, request string, allow origintest.Misuse) []string {
	t.Helper()
	tb := &strictTest{T: t}
	o := origintest.NewConfig(tb, origintest.Config{Object: object, InMemory: true, Allow: allow})
	c := dial(t, o)
	io.WriteString(c.conn, request+"Connection: close\r\n\r\n")
	c.rest()
	o.Close()
	if got := o.Misuses(); len(got) != len(tb.reported) {
		t.Errorf("Misuses %q, reported %q", got, tb.reported)
	}
	return tb.reported
}

func TestTwoConnectionsAreReported(t *testing.T) {
	for name, tt := range map[string]struct {
		allow    origintest.Misuse
		close    bool // close the first before the second request
		reported int
	}{
		"both open":    {0, false, 1},
		"allowed":      {origintest.TwoConnections, false, 0},
		"first closed": {0, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tb := &strictTest{T: t}
				o := origintest.NewConfig(tb, origintest.Config{Object: object, InMemory: true, Allow: tt.allow})
				first := dial(t, o)
				first.get("bytes=0-")
				body(t, first.response())
				if tt.close {
					first.conn.Close()
				}
				second := dial(t, o)
				second.get("bytes=0-")
				body(t, second.response())
				if len(tb.reported) != tt.reported {
					t.Errorf("reported %q, want %d", tb.reported, tt.reported)
				}
			})
		})
	}
}

func TestOriginWorksWithoutATest(t *testing.T) {
	o, err := origintest.Start(origintest.Config{Object: object, TLS: &origintest.TLS{}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := o.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	o.Close()
	o.Close()
	if _, err := o.Dial(t.Context(), "", ""); err == nil {
		t.Error("dial after Close succeeded")
	}
}

func TestDialAfterCloseWithACancelledContext(t *testing.T) {
	o := origintest.NewConfig(t, origintest.Config{InMemory: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.Close()
	if _, err := o.Dial(ctx, "", ""); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("dial: %v, want an error", err)
	}
}

func TestRangeMayBeLeftOutAfterARefusal(t *testing.T) {
	for name, tt := range map[string]struct {
		rule     *origintest.Rule
		reported int
	}{
		"ranges refused": {origintest.Always().RangeFails(501), 0},
		"range served":   {origintest.Always(), 1},
		"not found":      {origintest.On(1).Status(404), 1},
	} {
		t.Run(name, func(t *testing.T) {
			tb := &strictTest{T: t}
			o := origintest.NewConfig(tb, origintest.Config{Object: object, Script: []*origintest.Rule{tt.rule}, InMemory: true})
			c := dial(t, o)
			c.get("bytes=0-")
			body(t, c.response())
			c.send("GET /package.bin HTTP/1.1", "Accept-Encoding: identity")
			if resp := c.response(); resp.StatusCode != 200 || len(body(t, resp)) != 1000 {
				t.Errorf("without Range: %d", resp.StatusCode)
			}
			if len(tb.reported) != tt.reported {
				t.Errorf("reported %q, want %d", tb.reported, tt.reported)
			}
		})
	}
}

func TestIfMatchFails(t *testing.T) {
	_, c := start(t, origintest.Always().IfMatchFails())
	c.get("bytes=400-", `If-Match: "e"`)
	resp := c.response()
	body(t, resp)
	if resp.StatusCode != 412 {
		t.Errorf("status %d, want 412", resp.StatusCode)
	}
}
