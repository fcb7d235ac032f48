package netio

import (
	"encoding/hex"
	"net/url"
	"strings"
)

// Redact returns what may be shown of the URL raw: scheme://host/path. Of what is not such a URL it shows nothing.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "(not a URL)"
	}
	return u.Scheme + "://" + u.Host + cutQuery(u.EscapedPath())
}

// Scrub returns text without anything that looks like a URL's query or userinfo. It is for free text, above all for the
// errors of the standard library, and gives up readability before it gives up a secret:
//
//   - what stands in double quotes, as Go quotes its operands, becomes its Redact when it is a URL and is dropped
//     otherwise (the URL parser quotes bits of a password, the HTTP client what a server sent);
//   - elsewhere each word loses all from its first ? or # on, and all between // and its last @.
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

// quoteEnd returns where the quoted text that s begins with ends, stepping over \"; all of s when it does not.
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

// scrubWords writes s to out with each of its words scrubbed and its white space as it was.
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

// scrubWord takes a path with an @ for userinfo, because a password with a raw / in it looks the same. With an @ behind
// the first ? either may be a part of the other, and nothing but the scheme is left.
func scrubWord(s string) string {
	head := cutQuery(s)
	end := 0 // of the userinfo
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

// cutQuery returns s up to where a query or a fragment begins.
func cutQuery(s string) string {
	for i := range len(s) {
		if markLen(s[i:], "?#") > 0 {
			return s[:i]
		}
	}
	return s
}

// authorityStart returns the offset behind the first // of s; 0 when there is none.
func authorityStart(s string) int {
	for i := range len(s) {
		first := markLen(s[i:], "/")
		if second := markLen(s[i+first:], "/"); first > 0 && second > 0 {
			return i + first + second
		}
	}
	return 0
}

// markLen returns the length of the mark that s begins with: one of the characters in marks, as it is or
// percent-encoded, as often as you like, for URLs travel in the queries and paths of other URLs. 0: s begins otherwise.
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
