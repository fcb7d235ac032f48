package netio

import (
	"net/http"
	"strings"
)

// Validator identifies the version of an object (RFC 9110 §8.8). The caller
// stores it with the bytes of that version and passes it to the next Request.
type Validator struct {
	ETag         string // as sent, with quotes and W/; empty: none
	LastModified string // as sent; empty: none
	Total        int64  // size of the whole object in bytes; 0: unknown
}

// maxValidatorText is the size limit for an ETag and a Last-Modified, since
// callers store both in a journal that must stay small. A longer one counts as
// not sent, in every response.
const maxValidatorText = 256

// validatorOf returns the validator in the header of a response. total is the
// size of the object, 0 if the response does not contain it.
func validatorOf(h http.Header, total int64) Validator {
	return Validator{
		ETag:         validatorText(h.Get("ETag")),
		LastModified: validatorText(h.Get("Last-Modified")),
		Total:        total,
	}
}

// validatorText returns s if it is printable ASCII within the size limit, else
// "". Other bytes would change in the caller's JSON and then look like another
// version of the object.
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

// differs returns the name of the first field in which then and now contradict
// each other, or "". An empty field contradicts nothing.
//
// ETags are compared weakly (RFC 9110 §8.8.3.2), that is, without W/: some
// proxies weaken the ETag of an object that has not changed. Equal weak ETags
// do not guarantee equal bytes, but size and date are compared as well, and the
// digest of the whole object decides in the end.
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

// fill returns v with its empty fields taken from then, so that a response with
// fewer fields loses none that are stored.
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

// isStrong reports whether etag is a strong entity tag as defined by RFC 9110
// §8.8.3: a quoted string without W/.
func isStrong(etag string) bool {
	if len(etag) < 2 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		return false
	}
	opaque := etag[1 : len(etag)-1]
	return !strings.ContainsAny(opaque, "\" ") && validatorText(etag) != ""
}
