package origintest_test

import (
	"strconv"
	"testing"
	"time"

	"otad/netio/origintest"
)

func TestRangesAndPreconditions(t *testing.T) {
	object := origintest.Object{
		Size: 1000, Seed: 5, ETag: `"tag"`, LastModified: time.Date(1998, 2, 3, 4, 5, 6, 0, time.UTC),
	}
	const modified, later = "Tue, 03 Feb 1998 04:05:06 GMT", "Tue, 03 Feb 1998 04:05:07 GMT"
	tests := []struct {
		name         string
		fields       []string
		status       int
		contentRange string
		start, end   int64
	}{
		{"no range", nil, 200, "", 0, 1000},
		{"everything as a range", []string{"Range: bytes=0-"}, 206, "bytes 0-999/1000", 0, 1000},
		{"open range", []string{"Range: bytes=400-"}, 206, "bytes 400-999/1000", 400, 1000},
		{"last byte", []string{"Range: bytes=999-"}, 206, "bytes 999-999/1000", 999, 1000},
		{"closed range", []string{"Range: bytes=10-19"}, 206, "bytes 10-19/1000", 10, 20},
		{"end beyond the object", []string{"Range: bytes=990-2000"}, 206, "bytes 990-999/1000", 990, 1000},
		{"suffix", []string{"Range: bytes=-10"}, 206, "bytes 990-999/1000", 990, 1000},
		{"suffix longer than the object", []string{"Range: bytes=-5000"}, 206, "bytes 0-999/1000", 0, 1000},
		{"start at the size", []string{"Range: bytes=1000-"}, 416, "bytes */1000", 0, 0},
		{"start beyond the size", []string{"Range: bytes=5000-"}, 416, "bytes */1000", 0, 0},
		{"empty suffix", []string{"Range: bytes=-0"}, 416, "bytes */1000", 0, 0},
		{"several ranges", []string{"Range: bytes=0-1,5-6"}, 200, "", 0, 1000},
		{"other unit", []string{"Range: lines=0-1"}, 200, "", 0, 1000},
		{"backwards", []string{"Range: bytes=9-5"}, 200, "", 0, 1000},
		{"nonsense", []string{"Range: bytes=x-"}, 200, "", 0, 1000},
		{"If-Match agrees", []string{"Range: bytes=400-", `If-Match: "tag"`}, 206, "bytes 400-999/1000", 400, 1000},
		{"If-Match in a list", []string{"Range: bytes=400-", `If-Match: "a", "tag"`}, 206, "bytes 400-999/1000", 400, 1000},
		{"If-Match anything", []string{"Range: bytes=400-", "If-Match: *"}, 206, "bytes 400-999/1000", 400, 1000},
		{"If-Match differs", []string{"Range: bytes=400-", `If-Match: "other"`}, 412, "", 0, 0},
		{"If-Match weak", []string{"Range: bytes=400-", `If-Match: W/"tag"`}, 412, "", 0, 0},
		{"If-Match before 416", []string{"Range: bytes=5000-", `If-Match: "other"`}, 412, "", 0, 0},
		{"If-Range agrees", []string{"Range: bytes=400-", `If-Range: "tag"`}, 206, "bytes 400-999/1000", 400, 1000},
		{"If-Range differs", []string{"Range: bytes=400-", `If-Range: "other"`}, 200, "", 0, 1000},
		{"If-Range date", []string{"Range: bytes=400-", "If-Range: " + modified}, 206, "bytes 400-999/1000", 400, 1000},
		{"If-Range other date", []string{"Range: bytes=400-", "If-Range: " + later}, 200, "", 0, 1000},
		{"unmodified since", []string{"Range: bytes=400-", "If-Unmodified-Since: " + modified}, 206, "bytes 400-999/1000", 400, 1000},
		{"modified since", []string{"Range: bytes=400-", "If-Unmodified-Since: Tue, 03 Feb 1998 04:05:05 GMT"}, 412, "", 0, 0},
	}
	o := origintest.NewConfig(t, origintest.Config{Object: object, InMemory: true, Allow: origintest.NoRange | origintest.OtherEncoding})
	c := dial(t, o)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.send("GET /package.bin HTTP/1.1", tt.fields...)
			resp := c.response()
			got := body(t, resp)
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Range") != tt.contentRange {
				t.Errorf("got %d, Content-Range %q; want %d, %q", resp.StatusCode, resp.Header.Get("Content-Range"), tt.status, tt.contentRange)
			}
			if resp.Header.Get("Content-Length") != strconv.Itoa(len(got)) {
				t.Errorf("Content-Length %q, body %d", resp.Header.Get("Content-Length"), len(got))
			}
			if tt.status >= 300 {
				return
			}
			if string(got) != part(object, tt.start, tt.end) {
				t.Errorf("body is not bytes %d to %d of the object", tt.start, tt.end)
			}
			if resp.Header.Get("ETag") != `"tag"` || resp.Header.Get("Last-Modified") != modified || resp.Header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("header %v: want both validators and Accept-Ranges", resp.Header)
			}
		})
	}
	if n := o.Requests()[len(tests)-1].Conn; n != 1 {
		t.Errorf("last request on connection %d, want 1 for all", n)
	}
}

func TestHEADHasNoBody(t *testing.T) {
	o := origintest.NewConfig(t, origintest.Config{Object: origintest.Object{Size: 1000}, Allow: origintest.AllowEverything})
	c := dial(t, o)
	c.send("HEAD /package.bin HTTP/1.1", "Connection: close")
	got, err := c.rest()
	if err != nil {
		t.Fatal(err)
	}
	const tail = "Content-Length: 1000\r\n\r\n"
	if len(got) < len(tail) || string(got[len(got)-len(tail):]) != tail {
		t.Errorf("got %q, want it to end in %q", got, tail)
	}
}

func TestOtherMethodsAreNotAllowed(t *testing.T) {
	o := origintest.NewConfig(t, origintest.Config{Allow: origintest.AllowEverything})
	c := dial(t, o)
	c.send("PUT /package.bin HTTP/1.1", "Content-Length: 0")
	if resp := c.response(); resp.StatusCode != 405 || resp.Header.Get("Allow") == "" {
		t.Errorf("got %d, Allow %q; want 405 with Allow", resp.StatusCode, resp.Header.Get("Allow"))
	}
}
