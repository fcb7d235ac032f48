package netio_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"otad/netio"
	"otad/netio/origintest"
)

// TestNotThePackage checks what an answer must be to cost nothing, and which of
// them may be believed if they are repeated.
func TestNotThePackage(t *testing.T) {
	const page = "Content-Type: text/html; charset=utf-8\r\n"
	resume := netio.Request{Offset: 4, Size: 10, Validator: known}
	fresh := netio.Request{Size: 10}
	closing := func(header, body string) string { return "HTTP/1.1 200 OK\r\n" + header + "\r\n" + body }
	chunked := "HTTP/1.1 200 OK\r\n" + page + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
	tests := []struct {
		name   string
		req    netio.Request
		text   string
		insist bool
		detail string
	}{
		{"a page at an offset", resume, whole(strings.Repeat("x", 1560), page), false, "HTTP 200 with 1560 bytes of text/html instead of the package"},
		{"a page at the start", fresh, whole("<html>", page), false, "HTTP 200 with 6 bytes of text/html instead of the package"},
		{"a page, compressed", resume, whole("<html>", page+"Content-Encoding: gzip\r\n"), false, "HTTP 200 with 6 bytes of text/html instead of the package"},
		{"a page, no size is known", netio.Request{}, whole("<html>", page), false, "HTTP 200 with 6 bytes of text/html instead of the package"},
		{"a page without a length", fresh, closing(page, "<html>"), false, "HTTP 200 with a body of unknown length of text/html instead of the package"},
		{"a page without a length, no size is known", netio.Request{}, closing(page, "<html>"), false, "HTTP 200 with a body of unknown length of text/html instead of the package"},
		{"a page in chunks at an offset", resume, chunked, false, "HTTP 200 with a body of unknown length of text/html instead of the package"},
		{"XHTML at an offset", resume, closing("Content-Type: application/xhtml+xml\r\n", "<html>"), false, "HTTP 200 with a body of unknown length of application/xhtml+xml instead of the package"},
		{"no length at an offset", resume, closing("", object), true, "HTTP 200 with a body of unknown length instead of the package"},
		{"no length at an offset, the same ETag", resume, closing(tagged, object), true, "HTTP 200 with a body of unknown length instead of the package"},
		{"another length", resume, whole(object+"x", "Content-Type: application/octet-stream\r\n"), false, "HTTP 200 with 11 bytes of application/octet-stream instead of the package"},
		{"another length, the same ETag", resume, whole(object+"x", tagged), false, "HTTP 200 with 11 bytes instead of the package"},
		{"another length than one that was only learned", netio.Request{Offset: 4, Validator: known}, whole(object+"x", ""), true, "HTTP 200 with 11 bytes instead of the package"},
		{"a page of another length than one that was only learned", netio.Request{Offset: 4, Validator: known}, whole(object+"x", page), false, "HTTP 200 with 11 bytes of text/html instead of the package"},
		{"nothing", fresh, whole("", ""), false, "HTTP 200 with 0 bytes instead of the package"},
		{"a type with anything in it", fresh, whole("", "Content-Type: http://h/?q\r\n"), false, "HTTP 200 with 0 bytes instead of the package"},
		{"a range in a 200", resume, response(200, object[4:], "Content-Range: bytes 4-9/10\r\n"), false, "HTTP 200 with 6 bytes and a Content-Range instead of the package"},
		{"a range in a 200 of the right length", fresh, whole(object, "Content-Range: bytes 0-9/10\r\n"), false, "HTTP 200 with 10 bytes and a Content-Range instead of the package"},
		{"a range in a 200 without a length", resume, closing("Content-Range: bytes 4-9/10\r\n", object[4:]), false, "HTTP 200 with a body of unknown length and a Content-Range instead of the package"},
		{"a 206 that lost its validators", resume, partial(4, 10, object[4:], ""), true, "HTTP 206 without ETag and Last-Modified, which the stored bytes came with"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.URL = objectURL
			_, err := replying(t, tt.text).fetcher(t, netio.Config{}).Open(t.Context(), tt.req)
			e := wantError(t, err, netio.NotPackage, netio.ReasonOther)
			if e.Insist != tt.insist || e.Detail != tt.detail+at80 {
				t.Errorf("insist %v, %q; want %v, %q", e.Insist, e.Detail, tt.insist, tt.detail)
			}
		})
	}
	t.Run("a page is taken where the URL names one", func(t *testing.T) {
		for _, name := range []string{"u.html", "u.HTM", "u.xhtml?x=y.bin"} {
			f := replying(t, closing(page, object)).fetcher(t, netio.Config{})
			if got, err := fetch(t, f, netio.Request{URL: "http://127.0.0.1/" + name, Size: 10}); err != nil || string(got) != object {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
		}
	})
	t.Run("a redirect to a page names none", func(t *testing.T) {
		f := replying(t, redirectTo("/login.html"), closing(page, object)).fetcher(t, netio.Config{})
		_, err := fetch(t, f, netio.Request{URL: objectURL, Size: 10})
		wantError(t, err, netio.NotPackage, netio.ReasonOther)
	})
}

// TestAskedOnceMore checks which answers are followed by a simpler request.
func TestAskedOnceMore(t *testing.T) {
	object := origintest.Object{Size: 1000, Seed: 3}
	other := origintest.Object{Size: 1000, Seed: 4}
	always, on := origintest.Always, origintest.On
	type want struct {
		requests int
		kind     netio.Kind // without a body
		start    int64      // of the last answer, -1: none
	}
	tests := []struct {
		name   string
		offset int64
		script []*origintest.Rule
		want   want
	}{
		{"412 to the very ETag", 400, []*origintest.Rule{always().IfMatchFails()}, want{2, -1, 400}},
		{"412, really another object", 400, []*origintest.Rule{always().Replace(other)}, want{2, netio.Changed, 400}},
		{"412 whatever is asked", 400, []*origintest.Rule{always().Status(412)}, want{2, netio.Permanent, -1}},
		{"412, then a page", 400, []*origintest.Rule{on(1).Status(412), on(2).Page("<html>")}, want{2, netio.NotPackage, -1}},
		{"412, then a 200 with the ETag", 400, []*origintest.Rule{always().IfMatchFails().IgnoreRange()}, want{2, -1, 0}},
		{"412, then refused", 400, []*origintest.Rule{on(1).Status(412), on(2).Status(403)}, want{2, netio.Permanent, -1}},
		{"412 beyond a redirect", 400, []*origintest.Rule{always().Path("/package.bin").Redirect(302, "/b"), always().Path("/b").IfMatchFails()}, want{4, -1, 400}},
		{"412 at the start", 0, []*origintest.Rule{always().Status(412)}, want{1, netio.Permanent, -1}},
		{"no ranges: 403", 0, []*origintest.Rule{always().RangeFails(403)}, want{2, -1, 0}},
		{"no ranges: 416", 0, []*origintest.Rule{always().RangeFails(416)}, want{2, -1, 0}},
		{"no ranges: 501", 0, []*origintest.Rule{always().RangeFails(501)}, want{2, -1, 0}},
		{"403 whatever is asked", 0, []*origintest.Rule{always().Status(403)}, want{2, netio.Permanent, -1}},
		{"403 beyond a redirect", 0, []*origintest.Rule{always().Path("/package.bin").Redirect(302, "/b"), always().Path("/b").RangeFails(403)}, want{4, -1, 0}},
		{"404", 0, []*origintest.Rule{always().RangeFails(404)}, want{1, netio.Permanent, -1}},
		{"403 at an offset", 400, []*origintest.Rule{always().RangeFails(403)}, want{1, netio.Permanent, -1}},
		{"416 at an offset", 400, []*origintest.Rule{always().RangeFails(416)}, want{1, netio.Unsatisfiable, -1}},
		{"an expired URL", 0, []*origintest.Rule{always().ExpiredAWS()}, want{1, netio.Expired, -1}},
		{"403 with Retry-After", 0, []*origintest.Rule{always().Status(403).RetryAfter("9")}, want{1, netio.Transient, -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := origintest.New(t, object)
			f := newFetcher(t, netio.Config{})
			body, err := f.Open(t.Context(), netio.Request{URL: first.URL()})
			if err != nil {
				t.Fatal(err)
			}
			body.Close()
			o := origintest.New(t, object, tt.script...)
			got, err := fetch(t, f, netio.Request{URL: o.URL(), Offset: tt.offset, Size: 1000, Validator: body.Validator})
			if tt.want.kind < 0 {
				want, _ := io.ReadAll(io.NewSectionReader(object, tt.offset, 1000))
				if err != nil || string(got) != string(want) {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
			} else if e := asError(t, err); e.Kind != tt.want.kind {
				t.Errorf("%v: %v, want %v", e.Kind, e, tt.want.kind)
			}
			requests := o.Requests()
			if len(requests) != tt.want.requests || requests[len(requests)-1].Start != tt.want.start {
				t.Errorf("%d requests, the last from %d; want %+v", len(requests), requests[len(requests)-1].Start, tt.want)
			}
		})
	}
}

// TestSlowErrorTextIsNotAskedAgain checks that a 403 whose text does not end is
// the end: its time is spent.
func TestSlowErrorTextIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, func(_ int, _ *http.Request, conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 99\r\n\r\n<Error>")
			hang(conn)
		})
		_, err := o.fetcher(t, netio.Config{}).Open(t.Context(), netio.Request{URL: objectURL})
		wantError(t, err, netio.Permanent, "")
		if n := len(o.received()); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

// TestChangedObjectIsNamed checks that the error shows what differs.
func TestChangedObjectIsNamed(t *testing.T) {
	long := `"` + strings.Repeat("0123456789", 5) + `"`
	tests := []struct {
		then netio.Validator
		text string
		want string
	}{
		{known, partial(4, 10, object[4:], "ETag: \"b\"\r\n"), "its ETag differs: a before, b now"},
		{known, partial(4, 10, object[4:], "ETag: "+long+"\r\n"), "its ETag differs: a before, 01234567890123456789012345678.. now"},
		{known, partial(4, 10, object[4:], "ETag: W/\"http://h/?q\"\r\n"), "its ETag differs: a before, one now"},
		{netio.Validator{LastModified: known.LastModified}, partial(4, 10, object[4:], "Last-Modified: Tue, 03 Nov 2026 10:00:00 GMT\r\n"),
			"its Last-Modified differs: Mon, 02 Nov 2026 10:00:00 GMT before, Tue, 03 Nov 2026 10:00:00 GMT now"},
		{netio.Validator{LastModified: known.LastModified}, partial(4, 10, object[4:], "Last-Modified: http://h/?q\r\n"),
			"its Last-Modified differs: Mon, 02 Nov 2026 10:00:00 GMT before, one now"},
		{known, partial(4, 11, object[4:], tagged), "its size differs: 10 before, 11 now"},
		{netio.Validator{Absent: true}, partial(4, 10, object[4:], tagged), "it has an ETag or a Last-Modified, the stored bytes came without"},
	}
	for _, tt := range tests {
		_, err := replying(t, tt.text).fetcher(t, netio.Config{}).Open(t.Context(), netio.Request{URL: objectURL, Offset: 4, Validator: tt.then})
		want := "the object at the origin is another one now: " + tt.want + " (HTTP 206)" + at80
		if e := wantError(t, err, netio.Changed, ""); e.Detail != want {
			t.Errorf("%q, want %q", e.Detail, want)
		}
	}
}
