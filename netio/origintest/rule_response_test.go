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

// object is what most tests serve.
var object = origintest.Object{Size: 1000, Seed: 11, ETag: `"e"`}

func TestRulesBendTheAnswerToARange(t *testing.T) {
	other := origintest.Object{Size: 500, Seed: 12, ETag: `"f"`}
	tests := []struct {
		name   string
		rule   *origintest.Rule
		status int
		header map[string]string // "" must not be there
		body   string
	}{
		{"Content-Range wrong", origintest.Always().ContentRange("bytes 0-0/7"), 206, map[string]string{"Content-Range": "bytes 0-0/7"}, part(object, 400, 1000)},
		{"Content-Range missing", origintest.Always().ContentRange(""), 206, map[string]string{"Content-Range": ""}, part(object, 400, 1000)},
		{"starts earlier", origintest.Always().StartEarlier(100), 206, map[string]string{"Content-Range": "bytes 300-999/1000"}, part(object, 300, 1000)},
		{"starts earlier, at 0", origintest.Always().StartEarlier(9999), 206, map[string]string{"Content-Range": "bytes 0-999/1000"}, part(object, 0, 1000)},
		{"starts later", origintest.Always().StartLater(100), 206, map[string]string{"Content-Range": "bytes 500-999/1000"}, part(object, 500, 1000)},
		{"other total", origintest.Always().Total(1001), 206, map[string]string{"Content-Range": "bytes 400-999/1001"}, part(object, 400, 1000)},
		{"unknown total", origintest.Always().Total(-1), 206, map[string]string{"Content-Range": "bytes 400-999/*"}, part(object, 400, 1000)},
		{"fewer bytes", origintest.Always().AtMost(50), 206, map[string]string{"Content-Range": "bytes 400-449/1000", "Content-Length": "50"}, part(object, 400, 450)},
		{"range ignored", origintest.Always().IgnoreRange(), 200, map[string]string{"Content-Range": "", "Accept-Ranges": ""}, part(object, 0, 1000)},
		{"replaced", origintest.Always().Replace(other), 206, map[string]string{"ETag": `"f"`, "Content-Range": "bytes 400-499/500"}, part(other, 400, 500)},
		{"weak tag", origintest.Always().WeakETag(), 206, map[string]string{"ETag": `W/"e"`}, part(object, 400, 1000)},
		{"no tag", origintest.Always().NoETag(), 206, map[string]string{"ETag": ""}, part(object, 400, 1000)},
		{"no date", origintest.Always().NoLastModified(), 206, map[string]string{"Last-Modified": ""}, part(object, 400, 1000)},
		{"200 beside a Content-Range", origintest.Always().Status(200), 200, map[string]string{"Content-Range": ""}, part(object, 400, 1000)},
		{"416", origintest.Always().Status(416), 416, map[string]string{"Content-Range": "bytes */1000", "ETag": ""}, "Requested Range Not Satisfiable\n"},
		{"416 without Content-Range", origintest.Always().Status(416).ContentRange(""), 416, map[string]string{"Content-Range": ""}, "Requested Range Not Satisfiable\n"},
		{"412", origintest.Always().Status(412), 412, nil, "Precondition Failed\n"},
		{"404", origintest.Always().Status(404).Text("gone"), 404, map[string]string{"Content-Length": "4"}, "gone"},
		{"503 with seconds", origintest.Always().Status(503).RetryAfter("120"), 503, map[string]string{"Retry-After": "120"}, "Service Unavailable\n"},
		{"429 with nonsense", origintest.Always().Status(429).RetryAfter("-99999999999999999999"), 429, map[string]string{"Retry-After": "-99999999999999999999"}, "Too Many Requests\n"},
		{"redirect", origintest.Always().Redirect(302, "/b"), 302, map[string]string{"Location": "/b"}, "Found\n"},
		{"chunked", origintest.Always().Chunked(), 206, map[string]string{"Content-Length": "", "Content-Range": "bytes 400-999/1000"}, part(object, 400, 1000)},
		{"until close", origintest.Always().UntilClose(), 206, map[string]string{"Content-Length": "", "Connection": "close"}, part(object, 400, 1000)},
		{"last rule wins", origintest.Always().Status(404).Status(500).Text("x").Text("y"), 500, nil, "y"},
		{"other request", origintest.On(2).Status(500), 206, nil, part(object, 400, 1000)},
		{"other path", origintest.Always().Path("/other").Status(500), 206, nil, part(object, 400, 1000)},
		{"same path", origintest.Always().Path("/package.bin").Status(500), 500, nil, "Internal Server Error\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := origintest.NewConfig(t, origintest.Config{Object: object, Script: []*origintest.Rule{tt.rule}, InMemory: true})
			c := dial(t, o)
			c.get("bytes=400-")
			resp := c.response()
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			for name, want := range tt.header {
				if got := headerOnWire(resp, name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if got := body(t, resp); string(got) != tt.body {
				t.Errorf("body of %d bytes %.40q, want %d bytes %.40q", len(got), got, len(tt.body), tt.body)
			}
		})
	}
}

// headerOnWire undoes that http.ReadResponse moves Connection out of the header.
func headerOnWire(resp *http.Response, name string) string {
	if name == "Connection" && resp.Close {
		return "close"
	}
	return resp.Header.Get(name)
}

func TestRulesChangeFromARequestOn(t *testing.T) {
	o := origintest.NewConfig(t, origintest.Config{
		Object: object, InMemory: true,
		Script: []*origintest.Rule{origintest.Span(2, 3).Status(500), origintest.From(3).Header("X-Late", "yes"), origintest.On(5).Status(404)},
	})
	c := dial(t, o)
	for i, want := range []struct {
		status int
		late   string
	}{{206, ""}, {500, ""}, {500, "yes"}, {206, "yes"}, {404, "yes"}, {206, "yes"}} {
		c.get("bytes=0-")
		resp := c.response()
		body(t, resp)
		if resp.StatusCode != want.status || resp.Header.Get("X-Late") != want.late {
			t.Errorf("request %d: %d, X-Late %q; want %v", i+1, resp.StatusCode, resp.Header.Get("X-Late"), want)
		}
	}
}

func TestStrongMatchFailsWithoutAStrongTag(t *testing.T) {
	for name, rule := range map[string]*origintest.Rule{"weak": origintest.Always().WeakETag(), "none": origintest.Always().NoETag()} {
		c := dial(t, origintest.NewConfig(t, origintest.Config{Object: object, Script: []*origintest.Rule{rule}, InMemory: true}))
		c.get("bytes=0-", `If-Match: "e"`)
		if resp := c.response(); resp.StatusCode != 412 {
			t.Errorf("%s: %d, want 412", name, resp.StatusCode)
		}
	}
}

func TestExpiredPresetsSayWhatTheServersSay(t *testing.T) {
	tests := []struct {
		name string
		rule *origintest.Rule
		has  []string
	}{
		{"AWS", origintest.Always().ExpiredAWS(), []string{"<Code>AccessDenied</Code><Message>Request has expired</Message>", "<ServerTime>", "<X-Amz-Expires>300<"}},
		{"MinIO", origintest.Always().ExpiredMinIO(), []string{"<Code>AccessDenied</Code><Message>Request has expired</Message>", "<BucketName>"}},
		{"versitygw", origintest.Always().ExpiredVersity(), []string{"<Code>AccessDenied</Code><Message>Request has expired</Message>", "<ServerTime>"}},
		{"other", origintest.Always().S3Error(403, "SignatureDoesNotMatch", "No."), []string{"<Code>SignatureDoesNotMatch</Code><Message>No.</Message>"}},
	}
	for _, tt := range tests {
		c := dial(t, origintest.NewConfig(t, origintest.Config{Object: object, Script: []*origintest.Rule{tt.rule}, InMemory: true}))
		c.get("bytes=0-")
		resp := c.response()
		text := string(body(t, resp))
		if resp.StatusCode != 403 || resp.Header.Get("Content-Type") != "application/xml" || !strings.HasPrefix(text, "<?xml") {
			t.Errorf("%s: %d %q %q, want 403 with XML", tt.name, resp.StatusCode, resp.Header.Get("Content-Type"), text)
		}
		for _, want := range tt.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q lacks %q", tt.name, text, want)
			}
		}
	}
}

func TestRetryAfterDateCountsFromTheOriginsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := origintest.Always().Status(503).ClockAhead(-24 * time.Hour).RetryAfterDate(90 * time.Second)
		c := dial(t, origintest.NewConfig(t, origintest.Config{Script: []*origintest.Rule{rule}, InMemory: true}))
		c.get("bytes=0-")
		resp := c.response()
		date, err1 := http.ParseTime(resp.Header.Get("Date"))
		retry, err2 := http.ParseTime(resp.Header.Get("Retry-After"))
		if err1 != nil || err2 != nil || retry.Sub(date) != 90*time.Second || !date.Equal(time.Now().Add(-24*time.Hour)) {
			t.Errorf("Date %v, Retry-After %v (%v, %v); want yesterday and 90 s later", date, retry, err1, err2)
		}
	})
}

func TestHTTP10HasNoLength(t *testing.T) {
	c := dial(t, origintest.New(t, object, origintest.Always().HTTP10()))
	c.get("bytes=400-")
	got, err := c.rest()
	head, content, _ := strings.Cut(string(got), "\r\n\r\n")
	if err != nil || !strings.HasPrefix(head, "HTTP/1.0 206 Partial Content\r\n") || strings.Contains(head, "Content-Length") {
		t.Errorf("head %q, %v", head, err)
	}
	if content != part(object, 400, 1000) {
		t.Errorf("body of %d bytes differs", len(content))
	}
}

func TestHugeHeaderIsHuge(t *testing.T) {
	c := dial(t, origintest.New(t, object, origintest.Always().HugeHeader(1<<20).Close()))
	c.get("bytes=400-")
	got, err := c.rest()
	head, content, _ := strings.Cut(string(got), "\r\n\r\n")
	if err != nil || len(head) < 1<<20 || content != part(object, 400, 1000) {
		t.Errorf("head %d bytes, body %d, %v; want 1 MiB and the range", len(head), len(content), err)
	}
}

func TestGzipThoughNotAsked(t *testing.T) {
	c := dial(t, origintest.New(t, object, origintest.Always().Gzip().IgnoreRange()))
	c.get("bytes=0-")
	resp := c.response()
	packed := body(t, resp)
	if resp.Header.Get("Content-Encoding") != "gzip" || resp.StatusCode != 200 {
		t.Errorf("%d, Content-Encoding %q; want 200, gzip", resp.StatusCode, resp.Header.Get("Content-Encoding"))
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(zip); err != nil || string(plain) != part(object, 0, 1000) {
		t.Errorf("unpacked %d bytes, %v; want the object", len(plain), err)
	}
}

func TestHeaderFieldsCanBeDoubled(t *testing.T) {
	c := dial(t, origintest.New(t, object, origintest.Always().AddHeader("ETag", `"second"`)))
	c.get("bytes=0-")
	if got := c.response().Header["Etag"]; len(got) != 2 {
		t.Errorf("ETag %q, want two", got)
	}
}
