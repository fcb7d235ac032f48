package netio

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// URLError is the error of [CheckURL].
type URLError struct {
	// Problem is one line without the name of the field or flag. It contains
	// nothing of the URL but its scheme, cut to 16 bytes.
	Problem string
}

// Error returns Problem.
func (e *URLError) Error() string {
	return e.Problem
}

// CheckURL returns nil if raw is an absolute https or http URL with a host and,
// if it has a port, one from 1 to 65535. Otherwise it returns a [*URLError].
// Without allowHTTP, http is only accepted for loopback: localhost, 127.0.0.0/8
// and ::1. The empty string is not a URL.
//
// CheckURL may be called from any goroutine.
func CheckURL(raw string, allowHTTP bool) error {
	_, err := parseURL(raw, allowHTTP)
	return err
}

// CheckURL checks raw by the fetcher's own rule for plain http.
func (f *Fetcher) CheckURL(raw string) error { return CheckURL(raw, f.cfg.AllowHTTP) }

// parseURL returns the URL raw if CheckURL accepts it. The error is a
// *URLError.
func parseURL(raw string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(escapeQuery(raw))
	if err != nil {
		// Drop the parser's text: it quotes the URL with its query.
		return nil, &URLError{"not a URL"}
	}
	switch {
	case u.Scheme == "":
		return nil, &URLError{"URL has no scheme: want https"}
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, &URLError{"URL scheme is " + quoteScheme(u.Scheme) + ": want https"}
	case u.Hostname() == "":
		return nil, &URLError{"URL has no host"}
	case !validPort(u.Port()):
		return nil, &URLError{"URL port is out of range"}
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return nil, &URLError{"plain http is only for loopback: want https, or -allow-http"}
	}
	return u, nil
}

// escapeQuery returns raw with the spaces and control characters of its query
// percent-encoded: they would end the request line, or the header.
func escapeQuery(raw string) string {
	begin := strings.IndexByte(raw, '?')
	if begin < 0 {
		return raw
	}
	out := []byte(raw[:begin])
	for _, c := range []byte(raw[begin:]) {
		if c <= ' ' || c == 0x7f {
			out = fmt.Appendf(out, "%%%02X", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// quoteScheme returns the scheme in quotes. A long one is cut, because it may
// be a secret that was pasted without its URL.
func quoteScheme(scheme string) string {
	const longest = 16
	if len(scheme) > longest {
		scheme = scheme[:longest] + "..."
	}
	return strconv.Quote(scheme)
}

func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func isLoopback(host string) bool {
	if isLocalhost(host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Redact returns the part of the URL raw that can be logged and shown:
// scheme://host/path, without userinfo, query and fragment. The path ends where
// an escaped query of another URL begins in it. For anything else than an
// absolute URL with a host it returns "(not a URL)".
//
// Redact may be called from any goroutine.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "(not a URL)"
	}
	return u.Scheme + "://" + u.Host + cutQuery(u.EscapedPath())
}

// Scrub returns text without anything that looks like the query or the userinfo
// of a URL. It is for texts that may contain a URL, such as the errors of
// net/http. In doubt it removes too much:
//
//   - Text in double quotes, as Go quotes operands, is replaced by its Redact
//     if it contains "://", else by "...": the URL parser quotes parts of a
//     password, the HTTP client quotes data of the server.
//   - In all other text, each word loses everything from its first ? or # on,
//     and everything between // and its last @.
//
// Scrub may be called from any goroutine.
func Scrub(text string) string {
	var out strings.Builder
	for text != "" {
		bare, quoted, found := strings.Cut(text, `"`)
		scrubWords(&out, bare)
		if !found {
			break
		}
		end := quoteEnd(quoted)
		out.WriteString(scrubQuoted(quoted[:end]))
		text = strings.TrimPrefix(quoted[end:], `"`)
	}
	return out.String()
}

// quoteEnd returns the offset of the first quote in s that no backslash
// precedes, or the length of s if there is none.
func quoteEnd(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(s)
}

func scrubQuoted(s string) string {
	if strings.Contains(s, "://") {
		return `"` + Redact(s) + `"`
	}
	return `"..."`
}

// scrubWords writes s to out, each word scrubbed and the white space unchanged.
func scrubWords(out *strings.Builder, s string) {
	isSpace := func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }
	for s != "" {
		end := strings.IndexFunc(s, isSpace)
		if end < 0 {
			out.WriteString(scrubWord(s))
			return
		}
		out.WriteString(scrubWord(s[:end]))
		out.WriteByte(s[end])
		s = s[end+1:]
	}
}

// scrubWord removes query, fragment and userinfo from one word. A path that
// contains an @ is removed too, because a password with an unescaped / looks
// the same. If an @ follows the first ? or #, the userinfo may contain the ? or
// the query the @: only the scheme is left then.
func scrubWord(s string) string {
	head := cutQuery(s)
	end := 0 // end of the userinfo
	for i := range len(head) {
		if n := markLen(head[i:], "@"); n > 0 {
			end = i + n
		}
	}
	for i := len(head); i < len(s); i++ {
		if markLen(s[i:], "@") > 0 {
			end = len(head)
			break
		}
	}
	if end == 0 {
		return head
	}
	return head[:authorityStart(head[:end])] + head[end:]
}

// cutQuery returns s up to its first ? or #, escaped or not.
func cutQuery(s string) string {
	for i := range len(s) {
		if markLen(s[i:], "?#") > 0 {
			return s[:i]
		}
	}
	return s
}

// authorityStart returns the offset after the first // in s, or 0 if there is
// none.
func authorityStart(s string) int {
	for i := range len(s) {
		first := markLen(s[i:], "/")
		if second := markLen(s[i+first:], "/"); first > 0 && second > 0 {
			return i + first + second
		}
	}
	return 0
}

// markLen returns the length of the delimiter at the start of s: one of marks,
// either literal or percent-encoded any number of times (%3F, %253F, ...),
// since URLs occur within the queries and paths of other URLs. It returns 0 if
// s does not start with one.
func markLen(s, marks string) int {
	if s == "" {
		return 0
	}
	if strings.IndexByte(marks, s[0]) >= 0 {
		return 1
	}
	if s[0] != '%' {
		return 0
	}
	end := 1
	for strings.HasPrefix(s[end:], "25") {
		end += 2
	}
	if len(s) < end+2 {
		return 0
	}
	code, err := hex.DecodeString(s[end : end+2])
	if err != nil || strings.IndexByte(marks, code[0]) < 0 {
		return 0
	}
	return end + 2
}
