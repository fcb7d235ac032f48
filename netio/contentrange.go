package netio

import (
	"fmt"
	"strconv"
	"strings"
)

// contentRange is a Content-Range in bytes (RFC 9110 §14.4). In a 206 its form
// is "bytes 0-499/1234" or "bytes 0-499/*", in a 416 it is "bytes */1234".
type contentRange struct {
	start, end int64 // end exclusive; both 0 in the form of a 416
	total      int64 // -1: "*"
}

// length returns the number of bytes in the range.
func (c contentRange) length() int64 {
	return c.end - c.start
}

// String returns c in the form of the header field.
func (c contentRange) String() string {
	total := "*"
	if c.total >= 0 {
		total = strconv.FormatInt(c.total, 10)
	}
	if c.length() == 0 {
		return "bytes */" + total
	}
	return fmt.Sprintf("bytes %d-%d/%s", c.start, c.end-1, total)
}

// parseContentRange parses s strictly by the RFC, but ignores the case of the
// unit. It accepts only start <= end < total, and not "*/*".
func parseContentRange(s string) (contentRange, bool) {
	unit, rest, ok := strings.Cut(s, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, false
	}
	span, tail, ok := strings.Cut(rest, "/")
	if !ok {
		return contentRange{}, false
	}
	total := int64(-1)
	if tail != "*" {
		if total, ok = parseDigits(tail); !ok {
			return contentRange{}, false
		}
	}
	if span == "*" {
		return contentRange{total: total}, total >= 0
	}
	first, last, ok := parseSpan(span)
	if !ok || (total >= 0 && last >= total) {
		return contentRange{}, false
	}
	return contentRange{start: first, end: last + 1, total: total}, true
}

// parseSpan parses "FIRST-LAST", both inclusive. LAST+1 must not overflow.
func parseSpan(s string) (first, last int64, ok bool) {
	left, right, found := strings.Cut(s, "-")
	first, leftOK := parseDigits(left)
	last, rightOK := parseDigits(right)
	return first, last, found && leftOK && rightOK && first <= last && last+1 > 0
}

// parseDigits parses 1*DIGIT: no sign, no space, no overflow.
func parseDigits(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
