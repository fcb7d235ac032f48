package netio

import (
	"net/http"
	"strconv"
	"strings"
)

// Validator identifies the version of an object (RFC 9110 §8.8). The caller
// stores it with the bytes of that version and passes it to the next Request.
type Validator struct {
	ETag         string // as sent, with quotes and W/; empty: none
	LastModified string // as sent; empty: none
	Total        int64  // size of the whole object in bytes; 0: unknown
	Absent       bool   // the response had neither ETag nor Last-Modified; false: not known
}

// maxValidatorText is the size limit for an ETag and a Last-Modified, since
// callers store both in a journal that must stay small. A longer one counts as
// not sent, in every response.
const maxValidatorText = 256

// validatorOf returns the validator in the header of a response. total is the
// size of the object, 0 if the response does not contain it.
func validatorOf(h http.Header, total int64) Validator {
	v := Validator{
		ETag:         validatorText(h.Get("ETag")),
		LastModified: validatorText(h.Get("Last-Modified")),
		Total:        total,
	}
	v.Absent = !v.named()
	return v
}

// named reports whether v has more than a size to identify the object by.
func (v Validator) named() bool {
	return v.ETag != "" || v.LastModified != ""
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
// each other, or "". An empty field contradicts nothing, and neither does
// another date beside the same strong ETag: each mirror has its own.
//
// ETags are compared weakly (RFC 9110 §8.8.3.2), that is, without W/: some
// proxies weaken the ETag of an object that has not changed. Equal weak ETags
// do not guarantee equal bytes, but size and date are compared as well, and the
// digest of the whole object decides in the end.
func (then Validator) differs(now Validator) string {
	switch {
	case then.ETag != "" && now.ETag != "" && opaqueTag(then.ETag) != opaqueTag(now.ETag):
		return "ETag"
	case then.LastModified != "" && now.LastModified != "" && then.LastModified != now.LastModified && !then.sameStrong(now):
		return "Last-Modified"
	case then.Total != 0 && now.Total != 0 && then.Total != now.Total:
		return "size"
	}
	return ""
}

// sameStrong reports whether then and now have the same strong ETag.
func (then Validator) sameStrong(now Validator) bool {
	etag := quoted(then.ETag)
	return isStrong(etag) && etag == quoted(now.ETag)
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

// show returns the values of field in then and now for an error text.
func (then Validator) show(field string, now Validator) string {
	before, after := short(opaqueTag(then.ETag)), short(opaqueTag(now.ETag))
	switch field {
	case "Last-Modified":
		before, after = short(then.LastModified), short(now.LastModified)
	case "size":
		before, after = strconv.FormatInt(then.Total, 10), strconv.FormatInt(now.Total, 10)
	}
	return before + " before, " + after + " now"
}

// short returns the beginning of an ETag, or a date. It returns "one" instead if
// that may contain a URL.
func short(s string) string {
	const longest = len(http.TimeFormat)
	const harmless = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-_.:=, "
	s = strings.Trim(s, `"`)
	switch {
	case strings.Trim(s, harmless) != "":
		return "one"
	case len(s) > longest:
		return s[:longest] + ".."
	}
	return s
}

func opaqueTag(etag string) string {
	return quoted(strings.TrimPrefix(etag, "W/"))
}

// quoted returns a strong etag with the quotes that some servers leave out.
func quoted(etag string) string {
	if etag == "" || strings.HasPrefix(etag, "W/") || strings.Contains(etag, `"`) {
		return etag
	}
	return `"` + etag + `"`
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
