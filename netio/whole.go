package netio

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// checkWhole checks a 200. It proves nothing: a captive portal or a maintenance
// page is one too. Its length must be the size of the object, or, at offset 0,
// be left out. The digest decides whether a page of the right length is the
// package. ETag and date are not compared, except that the same strong ETag
// keeps the stored bytes: their copy in this body is read and dropped. A size
// that was only learned may be another object's: an origin that contradicts it
// at each retry is right, and at offset 0 it is learned anew.
func checkWhole(resp *http.Response, r Request) (part, *Error) {
	length, known, page := resp.ContentLength, r.size(), isPage(resp, r)
	ranged := resp.Header.Get("Content-Range") != ""
	other := known > 0 && length >= 0 && length != known && (r.Size > 0 || r.Offset > 0)
	switch {
	case ranged, length == 0, other, length < 0 && (page || r.Offset > 0), page && known == 0:
		insist := length < 0 || length > 0 && r.Size == 0
		return part{}, notPackage(resp, insist && !ranged && !page, describe(resp))
	}
	if err := checkEncoding(resp, r, length); err != nil {
		return part{}, err
	}
	size, err := objectSize(resp, r, length)
	if err != nil {
		return part{}, err
	}
	p := part{end: size, size: size, validator: validatorOf(resp.Header, max(length, 0))}
	switch {
	case r.Offset > 0 && known > 0 && r.Validator.sameStrong(p.validator):
		p.validator = p.validator.fill(r.Validator)
	case r.Offset > 0:
		p.rangeIgnored = true
	}
	return p, nil
}

// isPage reports whether resp is for people, while the URL does not name a page.
func isPage(resp *http.Response, r Request) bool {
	if kind := mediaType(resp); kind != "text/html" && kind != "application/xhtml+xml" {
		return false
	}
	u, err := url.Parse(r.URL)
	return err != nil || !slices.Contains([]string{".html", ".htm", ".xhtml"}, strings.ToLower(path.Ext(u.Path)))
}

// knownTypes are the media types that an error text shows. Any other one may be
// anything, also a secret.
var knownTypes = []string{
	"text/html", "application/xhtml+xml", "text/plain", "application/json", "text/xml",
	"application/xml", "application/octet-stream", "application/zip", "application/gzip",
}

// mediaType returns the type in the Content-Type of resp, or "" if there is none
// that is known.
func mediaType(resp *http.Response) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if !slices.Contains(knownTypes, kind) {
		return ""
	}
	return kind
}

// describe returns what resp has instead of the package.
func describe(resp *http.Response) string {
	size := "a body of unknown length"
	if resp.ContentLength >= 0 {
		size = fmt.Sprintf("%d bytes", resp.ContentLength)
	}
	if kind := mediaType(resp); kind != "" {
		size += " of " + kind
	}
	if resp.Header.Get("Content-Range") != "" {
		size += " and a Content-Range"
	}
	return fmt.Sprintf("HTTP %d with %s instead of the package", resp.StatusCode, size)
}

func notPackage(resp *http.Response, insist bool, detail string) *Error {
	return &Error{Kind: NotPackage, Reason: ReasonOther, Status: resp.StatusCode, Insist: insist, Detail: detail}
}
