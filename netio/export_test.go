package netio

import (
	"io"
	"net/http"
	"net/url"
	"time"
)

// The rules that are functions of text alone, for table tests and fuzzing.

type ContentRange struct{ Start, End, Total int64 }

func ParseContentRange(s string) (c ContentRange, text string, ok bool) {
	got, ok := parseContentRange(s)
	return ContentRange{got.start, got.end, got.total}, got.String(), ok
}

func RetryAfter(h http.Header, now time.Time, longest time.Duration) time.Duration {
	return retryAfter(h, now, longest)
}

func ReadS3Error(r io.Reader) (code string, expired bool) {
	e := readS3Error(r)
	return e.code, e.expired
}

func IsStrong(etag string) bool { return isStrong(etag) }

func (then Validator) Differs(now Validator) string { return then.differs(now) }

// UseProxy sends all requests through u: the proxy of the environment is looked up once in a process, and never for
// loopback.
func (f *Fetcher) UseProxy(u *url.URL) { f.transport.Proxy = http.ProxyURL(u) }
