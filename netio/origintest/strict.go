package origintest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// span is the part of the object that an answer carries: bytes start to end, end excluded.
type span struct{ start, end int64 }

// validators are the object's as the answer tells them; empty: not told.
type validators struct{ etag, lastModified string }

// judge decides what a correct origin answers, in the order of RFC 9110 §13.2.2: If-Match or else If-Unmodified-Since, then Range under If-Range.
func judge(h http.Header, v validators, size int64) (status int, s span) {
	whole := span{0, size}
	if !preconditions(h, v) {
		return http.StatusPreconditionFailed, whole
	}
	if h.Get("Range") == "" || !ifRange(h.Get("If-Range"), v) {
		return http.StatusOK, whole
	}
	s, ok := parseRange(h.Get("Range"), size)
	switch {
	case !ok: // a range that cannot be read, or several of them, may be ignored (§14.2)
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
			if tag == "*" || strong(tag) && tag == v.etag {
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

// ifRange compares strongly; a date has to be the very same (RFC 9110 §13.1.5).
func ifRange(value string, v validators) bool {
	return value == "" || strong(value) && value == v.etag || value == v.lastModified
}

func strong(tag string) bool { return strings.HasPrefix(tag, `"`) }

// parseRange reads one byte range: first-last, first-, or -length.
func parseRange(value string, size int64) (span, bool) {
	spec, found := strings.CutPrefix(value, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !found || !dash {
		return span{}, false
	}
	if first == "" {
		n, err := strconv.ParseUint(last, 10, 63)
		if n == 0 { // "-0" asks for nothing, which nothing can satisfy
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

// validators are those of the plan's object, bent as the rules say.
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

// clock is the origin's time as it tells it.
func (p *plan) clock() time.Time { return time.Now().Add(p.skew).UTC() }
