package origintest

import (
	"time"
)

// Status answers with another status. From 300 on the body is a short text instead of the object, and the object's header fields are left out;
// 416 carries "Content-Range: bytes */SIZE" (ContentRange("") removes it). Below 300 only the number changes.
func (r *Rule) Status(code int) *Rule { return r.add(func(p *plan) { p.status = code }) }

// Text sets the body of an answer whose status is 300 or more.
func (r *Rule) Text(body string) *Rule { return r.add(func(p *plan) { p.text = []byte(body) }) }

// EndlessText makes the body of an answer whose status is 300 or more go on for ever, bounded by nothing but the connection.
func (r *Rule) EndlessText() *Rule {
	return r.add(func(p *plan) {
		p.endless = true
		if p.framing == byLength {
			p.framing = untilClose
		}
	})
}

// Header sets a header field whatever the answer is; an empty value removes it. A field with two values takes two calls of AddHeader.
func (r *Rule) Header(name, value string) *Rule {
	return r.add(func(p *plan) { p.edits = append(p.edits, field{name: name, value: value}) })
}

// AddHeader adds a header field beside those there are.
func (r *Rule) AddHeader(name, value string) *Rule {
	return r.add(func(p *plan) { p.edits = append(p.edits, field{name: name, value: value, add: true}) })
}

// HugeHeader adds about n bytes of header fields, in lines of 4 KiB.
func (r *Rule) HugeHeader(n int) *Rule { return r.add(func(p *plan) { p.hugeHeader = n }) }

// RetryAfter sets Retry-After to the text given: seconds, a date, or nonsense.
func (r *Rule) RetryAfter(value string) *Rule { return r.Header("Retry-After", value) }

// RetryAfterDate sets Retry-After to the date that is d after the answer's own Date.
func (r *Rule) RetryAfterDate(d time.Duration) *Rule {
	return r.add(func(p *plan) { p.retryIn = &d })
}

// ClockAhead shifts the origin's clock, seen in Date and in RetryAfterDate.
func (r *Rule) ClockAhead(d time.Duration) *Rule { return r.add(func(p *plan) { p.skew = d }) }

// Redirect answers with code (302, for example) and a Location, absolute or relative. As an origin serves its object under every path, a chain
// of n redirects is Span(1, n).Redirect(302, "/elsewhere") and a loop Always().Redirect(302, "/again").
func (r *Rule) Redirect(code int, location string) *Rule {
	return r.Status(code).Header("Location", location)
}

// HTTP10 answers as HTTP/1.0 does: no Content-Length, no chunks, the body ends with the connection.
func (r *Rule) HTTP10() *Rule {
	return r.add(func(p *plan) { p.proto, p.framing = "HTTP/1.0", untilClose })
}

// Chunked sends the body in chunks, without Content-Length.
func (r *Rule) Chunked() *Rule { return r.add(func(p *plan) { p.framing = chunked }) }

// UntilClose sends the body without Content-Length; it ends with the connection.
func (r *Rule) UntilClose() *Rule { return r.add(func(p *plan) { p.framing = untilClose }) }

// ContentLength announces another length than the body has and ends the connection after it.
func (r *Rule) ContentLength(value string) *Rule {
	return r.Header("Content-Length", value).CloseSilently()
}

// Gzip compresses the body although nobody asked for it, in chunks, with Content-Encoding: gzip.
func (r *Rule) Gzip() *Rule {
	return r.add(func(p *plan) { p.gzip, p.framing = true, chunked }).Header("Content-Encoding", "gzip")
}
