package netio

import (
	"fmt"
	"strconv"
	"strings"
)

// A contentRange is a Content-Range of unit bytes (RFC 9110 §14.4): of a 206 "bytes 0-499/1234" or "bytes 0-499/*", of a
// 416 "bytes */1234".
type contentRange struct {
	start, end int64 // end exclusive; both 0 in the form of a 416
	total      int64 // -1: "*"
}

// length returns how many bytes the range has.
func (c contentRange) length() int64 {
	return c.end - c.start
}

// String returns c as a header has it.
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

// parseContentRange reads s by the letter of the RFC, case of the unit aside. It accepts only what makes sense: start <=
// end < total, and no "*/*".
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

// parseSpan reads "FIRST-LAST", both inclusive, LAST small enough to have a successor.
func parseSpan(s string) (first, last int64, ok bool) {
	left, right, found := strings.Cut(s, "-")
	first, leftOK := parseDigits(left)
	last, rightOK := parseDigits(right)
	return first, last, found && leftOK && rightOK && first <= last && last+1 > 0
}

// parseDigits reads 1*DIGIT: no sign, no space, no overflow.
func parseDigits(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
