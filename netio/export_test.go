package netio

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"time"
)

// These are functions of text only, for table tests and fuzz targets.

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

// UseProxy sends all requests through u. The environment cannot be used for
// this: net/http reads it once per process and ignores it for loopback.
func (f *Fetcher) UseProxy(u *url.URL) { f.transport.Proxy = http.ProxyURL(u) }

func SystemRoots() *x509.CertPool { return systemRoots() }
