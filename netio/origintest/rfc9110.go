package origintest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// span is a part of the object: the bytes from start to end, end excluded.
type span struct{ start, end int64 }

// validators are the object's ETag and Last-Modified in a response. Empty: not
// sent.
type validators struct{ etag, lastModified string }

// evaluate returns the status and the part of the object that a correct server
// sends for a request with header h. The order is that of RFC 9110 §13.2.2:
// If-Match or else If-Unmodified-Since, then Range together with If-Range.
func evaluate(h http.Header, v validators, size int64) (status int, s span) {
	whole := span{0, size}
	if !preconditions(h, v) {
		return http.StatusPreconditionFailed, whole
	}
	if h.Get("Range") == "" || !ifRange(h.Get("If-Range"), v) {
		return http.StatusOK, whole
	}
	s, ok := parseRange(h.Get("Range"), size)
	switch {
	case !ok: // a malformed range, or several of them, may be ignored (§14.2)
		return http.StatusOK, whole
	case s.start >= size:
		return http.StatusRequestedRangeNotSatisfiable, whole
	}
	return http.StatusPartialContent, s
}

func preconditions(h http.Header, v validators) bool {
	if list := h.Values("If-Match"); len(list) > 0 {
		for tag := range strings.SplitSeq(strings.Join(list, ","), ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || isStrong(tag) && tag == v.etag {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(h.Get("If-Unmodified-Since"))
	if err != nil || v.lastModified == "" {
		return true
	}
	changed, err := http.ParseTime(v.lastModified)
	return err != nil || !changed.After(since)
}

// ifRange evaluates If-Range: an ETag is compared strongly, a date must be
// equal (RFC 9110 §13.1.5).
func ifRange(value string, v validators) bool {
	return value == "" || isStrong(value) && value == v.etag || value == v.lastModified
}

func isStrong(tag string) bool { return strings.HasPrefix(tag, `"`) }

// parseRange parses one byte range: first-last, first-, or -length.
func parseRange(value string, size int64) (span, bool) {
	spec, found := strings.CutPrefix(value, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !found || !dash {
		return span{}, false
	}
	if first == "" {
		n, err := strconv.ParseUint(last, 10, 63)
		if n == 0 { // "-0" is a range of no bytes: not satisfiable
			return span{size, size}, err == nil
		}
		return span{max(0, size-int64(n)), size}, err == nil
	}
	start, err := strconv.ParseUint(first, 10, 63)
	if err != nil || last == "" {
		return span{int64(start), size}, err == nil
	}
	end, err := strconv.ParseUint(last, 10, 63)
	if err != nil || end < start {
		return span{}, false
	}
	return span{int64(start), min(int64(end), size-1) + 1}, true
}

// validators returns those of the plan's object, changed by the rules.
func (p *plan) validators() validators {
	v := validators{p.object.etag(), p.object.lastModified().UTC().Format(http.TimeFormat)}
	if p.weakETag {
		v.etag = "W/" + v.etag
	}
	if p.noETag {
		v.etag = ""
	}
	if p.noLastModified {
		v.lastModified = ""
	}
	return v
}

// now returns the time of the origin's clock.
func (p *plan) now() time.Time { return time.Now().Add(p.skew).UTC() }
