package netio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"otad/netio"
)

// wantContent checks that the rest of body is content, followed by io.EOF at
// this and each further Read.
func wantContent(t *testing.T, body *netio.Body, content string) {
	t.Helper()
	if err := iotest.TestReader(body, []byte(content)); err != nil {
		t.Errorf("body: %v", err)
	}
	if n, err := body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read after the end = %d, %v", n, err)
	}
}

func TestBodyThatDoesNotEndWithTheObject(t *testing.T) {
	chunked := func(chunks string) string {
		return "HTTP/1.1 206 P\r\nContent-Range: bytes 4-9/10\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
	}
	untilClose := "HTTP/1.1 206 P\r\nContent-Range: bytes 4-9/10\r\n\r\n"
	tests := []struct {
		name   string
		text   string
		got    string
		kind   netio.Kind
		reason netio.Reason
	}{
		{"length, cut", strings.TrimSuffix(partial(4, 10, object[4:], ""), "89"), "4567", netio.Transient, netio.ReasonShortBody},
		{"length, cut before the first byte", strings.TrimSuffix(partial(4, 10, object[4:], ""), object[4:]), "", netio.Transient, netio.ReasonShortBody},
		{"chunked, cut", chunked("3\r\n456\r\n"), "456", netio.Transient, netio.ReasonShortBody},
		{"chunked, ended early", chunked("3\r\n456\r\n0\r\n\r\n"), "456", netio.Transient, netio.ReasonShortBody},
		{"chunked, damaged", chunked("3\r\n456\r\nzz\r\n"), "456", netio.Transient, netio.ReasonOther},
		{"closed early", untilClose + "456", "456", netio.Transient, netio.ReasonShortBody},
		{"less of the range than requested", partial(4, 10, "45", ""), "45", netio.Transient, netio.ReasonShortBody},
		{"chunked, longer", chunked("7\r\n456789x\r\n0\r\n\r\n"), object[4:], netio.TooLong, ""},
		{"chunked, longer by a chunk", chunked("6\r\n456789\r\n1\r\nx\r\n0\r\n\r\n"), object[4:], netio.TooLong, ""},
		{"close-delimited, longer", untilClose + "456789x", object[4:], netio.TooLong, ""},
		{"part of the range, longer", "HTTP/1.1 206 P\r\nContent-Range: bytes 4-5/10\r\n\r\n456", "45", netio.TooLong, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := replying(t, tt.text).fetcher(t, netio.Config{})
			body, err := f.Open(t.Context(), netio.Request{URL: objectURL, Offset: 4, Size: 10})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			wantError(t, err, tt.kind, tt.reason)
			if string(got) != tt.got {
				t.Errorf("read %q, want %q", got, tt.got)
			}
			if _, again := body.Read(make([]byte, 1)); again != err {
				t.Errorf("the next Read returns %v, want the same error", again)
			}
		})
	}
}

func TestConnectionLostAfterTheLastByte(t *testing.T) {
	text := "HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/10\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789"
	got, err := fetch(t, replying(t, text).fetcher(t, netio.Config{}), netio.Request{URL: objectURL, Size: 10})
	if err != nil || string(got) != object {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCancelledContextEndsARead(t *testing.T) {
	for name, text := range map[string]string{
		"in the body":                    strings.TrimSuffix(partial(0, 10, object, ""), "9"),
		"before the end of a whole body": "HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/10\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789",
		"in the text of an error":        strings.TrimSuffix(response(403, "<Error>", ""), ">"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
					io.WriteString(conn, text)
					hang(conn)
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer time.AfterFunc(time.Second, cancel).Stop()
				body, err := o.fetcher(t, netio.Config{}).Open(ctx, netio.Request{URL: objectURL, Size: 10})
				if err == nil {
					defer body.Close()
					_, err = io.ReadAll(body)
				}
				if err != context.Canceled {
					t.Errorf("got %v, want context.Canceled", err)
				}
			})
		})
	}
}

func TestOpenWithACancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := replying(t, whole(object, "")).fetcher(t, netio.Config{}).Open(ctx, netio.Request{URL: objectURL})
	if err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestCloseClosesTheConnection(t *testing.T) {
	ended := make(chan error, 1)
	o := newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		_, err := io.Copy(conn, endless{})
		ended <- err
	})
	body, err := o.fetcher(t, netio.Config{}).Open(t.Context(), netio.Request{URL: objectURL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the origin could write the whole body")
	}
	if _, err := body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read after Close = %v", err)
	}
}

func TestLargeReadsGoStraightFromTheConnection(t *testing.T) {
	const size = 1 << 20
	o := newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		conn.Write(make([]byte, size))
	})
	body, err := o.fetcher(t, netio.Config{}).Open(t.Context(), netio.Request{URL: objectURL})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	p, reads := make([]byte, size), 0
	for err == nil {
		_, err = body.Read(p)
		reads++
	}
	// One read for the bytes after the header, one for the rest, one for the
	// end: an in-memory connection returns all it has.
	if err != io.EOF || reads > 4 {
		t.Errorf("%d reads, then %v", reads, err)
	}
}

// endless reads as zeros without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
