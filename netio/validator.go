package netio

import (
	"net/http"
	"strings"
)

// A Validator is what an origin says of the version of an object, kept by the caller with the bytes of that version.
type Validator struct {
	ETag         string // as sent, quotes and W/ included; empty: none
	LastModified string // as sent; empty: none
	Total        int64  // size of the whole object; 0: not told
}

// maxValidatorText is the longest ETag or Last-Modified that is learned. Callers keep them in a store that must stay
// small; one that is longer counts as not sent, in every answer alike.
const maxValidatorText = 256

// learn returns what the header of an answer and the total it told say of the object.
func learn(h http.Header, total int64) Validator {
	return Validator{ETag: validatorText(h.Get("ETag")), LastModified: validatorText(h.Get("Last-Modified")), Total: total}
}

// validatorText returns s when it is printable ASCII of a sane length, else "". Other bytes would not survive the
// caller's JSON and come back as a difference that is none.
func validatorText(s string) string {
	if len(s) > maxValidatorText {
		return ""
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}

// differs returns what of now contradicts then, in a word, or "". What either of them lacks contradicts nothing.
//
// ETags are compared weakly (RFC 9110 §8.8.3.2: W/ aside, the same characters), so that a proxy that weakens the tag on
// the way does not look like a new object. A weak tag promises no equal bytes, but the total and the date are compared
// as well, and the digest judges the join in the end.
func (then Validator) differs(now Validator) string {
	switch {
	case then.ETag != "" && now.ETag != "" && opaqueTag(then.ETag) != opaqueTag(now.ETag):
		return "ETag"
	case then.LastModified != "" && now.LastModified != "" && then.LastModified != now.LastModified:
		return "Last-Modified"
	case then.Total != 0 && now.Total != 0 && then.Total != now.Total:
		return "size"
	}
	return ""
}

// fill returns v with what it lacks taken from then, so that an answer that says less does not make us forget.
func (v Validator) fill(then Validator) Validator {
	if v.ETag == "" {
		v.ETag = then.ETag
	}
	if v.LastModified == "" {
		v.LastModified = then.LastModified
	}
	if v.Total == 0 {
		v.Total = then.Total
	}
	return v
}

func opaqueTag(etag string) string {
	return strings.TrimPrefix(etag, "W/")
}

// isStrong reports whether etag is a strong entity tag by the letter of RFC 9110 §8.8.3: a quoted string without W/.
func isStrong(etag string) bool {
	if len(etag) < 2 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		return false
	}
	opaque := etag[1 : len(etag)-1]
	return !strings.ContainsAny(opaque, "\" ") && validatorText(etag) != ""
}
