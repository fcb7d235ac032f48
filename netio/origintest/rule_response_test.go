package origintest_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otad/netio/origintest"
)

func TestRulesChangeTheResponseToARange(t *testing.T) {
	other := origintest.Object{Size: 500, Seed: 12, ETag: `"f"`}
	requested := part(object, 400, 1000)
	const nonsense = "-99999999999999999999"
	tests := []struct {
		name   string
		rule   *origintest.Rule
		status int
		header string // lines of the header; without a value: must not be there
		body   string
	}{
		{"Content-Range wrong", always().ContentRange("bytes 0-0/7"), 206, "Content-Range: bytes 0-0/7", requested},
		{"Content-Range missing", always().ContentRange(""), 206, "Content-Range:", requested},
		{"starts earlier", always().StartEarlier(100), 206, "Content-Range: bytes 300-999/1000", part(object, 300, 1000)},
		{"starts earlier, at 0", always().StartEarlier(9999), 206, "Content-Range: bytes 0-999/1000", part(object, 0, 1000)},
		{"starts later", always().StartLater(100), 206, "Content-Range: bytes 500-999/1000", part(object, 500, 1000)},
		{"other total", always().Total(1001), 206, "Content-Range: bytes 400-999/1001", requested},
		{"unknown total", always().Total(-1), 206, "Content-Range: bytes 400-999/*", requested},
		{"fewer bytes", always().AtMost(50), 206, "Content-Range: bytes 400-449/1000\nContent-Length: 50", part(object, 400, 450)},
		{"range ignored", always().IgnoreRange(), 200, "Content-Range:\nAccept-Ranges:", part(object, 0, 1000)},
		{"replaced", always().Replace(other), 206, "ETag: \"f\"\nContent-Range: bytes 400-499/500", part(other, 400, 500)},
		{"weak tag", always().WeakETag(), 206, `ETag: W/"e"`, requested},
		{"no tag", always().NoETag(), 206, "ETag:", requested},
		{"no date", always().NoLastModified(), 206, "Last-Modified:", requested},
		{"200 for a range", always().Status(200), 200, "Content-Range:", requested},
		{"416", always().Status(416), 416, "Content-Range: bytes */1000\nETag:", "Requested Range Not Satisfiable\n"},
		{"416 without Content-Range", always().Status(416).ContentRange(""), 416, "Content-Range:", "Requested Range Not Satisfiable\n"},
		{"412", always().Status(412), 412, "", "Precondition Failed\n"},
		{"404", always().Status(404).Text("gone"), 404, "Content-Length: 4", "gone"},
		{"503 with seconds", always().Status(503).RetryAfter("120"), 503, "Retry-After: 120", "Service Unavailable\n"},
		{"429 with nonsense", always().Status(429).RetryAfter(nonsense), 429, "Retry-After: " + nonsense, "Too Many Requests\n"},
		{"page", always().Page("<html>"), 200, "Content-Type: text/html\nETag:\nContent-Range:\nContent-Length: 6", "<html>"},
		{"ranges refused", always().RangeFails(501), 501, "", "Not Implemented\n"},
		{"If-Match refused, but there is none", always().IfMatchFails(), 206, "", requested},
		{"redirect", always().Redirect(302, "/b"), 302, "Location: /b", "Found\n"},
		{"chunked", always().Chunked(), 206, "Content-Length:\nContent-Range: bytes 400-999/1000", requested},
		{"until close", always().UntilClose(), 206, "Content-Length:\nConnection: close", requested},
		{"two ETags", always().AddHeader("ETag", `"second"`), 206, `ETag: "e", "second"`, requested},
		{"later step wins", always().Status(404).Status(500).Text("x").Text("y"), 500, "", "y"},
		{"other request", on(2).Status(500), 206, "", requested},
		{"other path", always().Path("/other").Status(500), 206, "", requested},
		{"same path", always().Path("/package.bin").Status(500), 500, "", "Internal Server Error\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, c := start(t, tt.rule)
			c.get("bytes=400-")
			resp := c.response()
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if resp.Close { // http.ReadResponse removes Connection from the header
				resp.Header.Set("Connection", "close")
			}
			for line := range strings.Lines(tt.header) {
				name, want, _ := strings.Cut(strings.TrimSpace(line), ":")
				got := strings.Join(resp.Header.Values(name), ", ")
				if want = strings.TrimSpace(want); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if got := body(t, resp); string(got) != tt.body {
				t.Errorf("body of %d bytes %.40q, want %d bytes %.40q", len(got), got, len(tt.body), tt.body)
			}
		})
	}
}

func TestRulesSelectRequests(t *testing.T) {
	_, c := start(t, origintest.Span(2, 3).Status(500), origintest.From(3).Header("X-Late", "yes"), on(5).Status(404))
	for i, want := range []struct {
		status int
		late   string
	}{{206, ""}, {500, ""}, {500, "yes"}, {206, "yes"}, {404, "yes"}, {206, "yes"}} {
		c.get("bytes=0-")
		resp := c.response()
		body(t, resp)
		if late := resp.Header.Get("X-Late"); resp.StatusCode != want.status || late != want.late {
			t.Errorf("request %d: %d, X-Late %q; want %v", i+1, resp.StatusCode, late, want)
		}
	}
}

func TestIfMatchFailsWithoutAStrongETag(t *testing.T) {
	for name, rule := range map[string]*origintest.Rule{"weak": always().WeakETag(), "none": always().NoETag()} {
		_, c := start(t, rule)
		c.get("bytes=0-", `If-Match: "e"`)
		if resp := c.response(); resp.StatusCode != 412 {
			t.Errorf("%s: %d, want 412", name, resp.StatusCode)
		}
	}
}

func TestExpiredResponses(t *testing.T) {
	const expired = "<Code>AccessDenied</Code><Message>Request has expired</Message>"
	tests := []struct {
		name     string
		rule     *origintest.Rule
		contains []string
	}{
		{"AWS", always().ExpiredAWS(), []string{expired, "<ServerTime>", "<X-Amz-Expires>300<"}},
		{"MinIO", always().ExpiredMinIO(), []string{expired, "<BucketName>"}},
		{"versitygw", always().ExpiredVersity(), []string{expired, "<ServerTime>"}},
		{"other", always().S3Error(403, "SignatureDoesNotMatch", "No."), []string{"<Code>SignatureDoesNotMatch</Code><Message>No.</Message>"}},
	}
	for _, tt := range tests {
		_, c := start(t, tt.rule)
		c.get("bytes=0-")
		resp := c.response()
		text, kind := string(body(t, resp)), resp.Header.Get("Content-Type")
		if resp.StatusCode != 403 || kind != "application/xml" || !strings.HasPrefix(text, "<?xml") {
			t.Errorf("%s: %d %q %q, want 403 with XML", tt.name, resp.StatusCode, kind, text)
		}
		for _, want := range tt.contains {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q does not contain %q", tt.name, text, want)
			}
		}
	}
}

func TestRetryAfterDateUsesTheClockOfTheOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := start(t, always().Status(503).ClockAhead(-24*time.Hour).RetryAfterDate(90*time.Second))
		c.get("bytes=0-")
		resp := c.response()
		date, err1 := http.ParseTime(resp.Header.Get("Date"))
		retry, err2 := http.ParseTime(resp.Header.Get("Retry-After"))
		if err1 != nil || err2 != nil || retry.Sub(date) != 90*time.Second || !date.Equal(time.Now().Add(-24*time.Hour)) {
			t.Errorf("Date %v, Retry-After %v (%v, %v); want yesterday and 90 s later", date, retry, err1, err2)
		}
	})
}

func TestRulesChangeTheBytesOfTheHead(t *testing.T) {
	tests := []struct {
		name    string
		rule    *origintest.Rule
		prefix  string
		without string
		least   int // bytes
	}{
		{"HTTP/1.0", always().HTTP10(), "HTTP/1.0 206 Partial Content\r\n", "Content-Length", 0},
		{"huge header", always().HugeHeader(1 << 20).Close(), "HTTP/1.1 206 Partial Content\r\n", "\r\n\r\n", 1 << 20},
	}
	for _, tt := range tests {
		c := dial(t, origintest.New(t, object, tt.rule))
		c.get("bytes=400-")
		got, err := c.rest()
		head, content, _ := strings.Cut(string(got), "\r\n\r\n")
		if err != nil || !strings.HasPrefix(head, tt.prefix) || strings.Contains(head, tt.without) || len(head) < tt.least {
			t.Errorf("%s: head of %d bytes %.100q, %v", tt.name, len(head), head, err)
		}
		if content != part(object, 400, 1000) {
			t.Errorf("%s: the body of %d bytes is not the range", tt.name, len(content))
		}
	}
}

func TestGzip(t *testing.T) {
	c := dial(t, origintest.New(t, object, always().Gzip().IgnoreRange()))
	c.get("bytes=0-")
	resp := c.response()
	packed := body(t, resp)
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "gzip" || resp.StatusCode != 200 {
		t.Errorf("%d, Content-Encoding %q; want 200, gzip", resp.StatusCode, encoding)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(zip); err != nil || string(plain) != part(object, 0, 1000) {
		t.Errorf("unpacked %d bytes, %v; want the object", len(plain), err)
	}
}
