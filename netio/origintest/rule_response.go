package origintest

import (
	"fmt"
	"time"
)

// Replace serves another object, with its own content and validators, as after
// a new upload under the same URL.
func (r *Rule) Replace(o Object) *Rule { return r.add(func(p *plan) { p.object = o }) }

// NoETag omits the ETag. If-Match then fails unless it is "*".
func (r *Rule) NoETag() *Rule { return r.add(func(p *plan) { p.noETag = true }) }

// WeakETag makes the ETag weak (W/"..."). If-Match then fails, because it
// compares strongly (RFC 9110 §13.1.1).
func (r *Rule) WeakETag() *Rule { return r.add(func(p *plan) { p.weakETag = true }) }

// NoLastModified omits Last-Modified.
func (r *Rule) NoLastModified() *Rule {
	return r.add(func(p *plan) { p.noLastModified = true })
}

// IgnoreRange sends the whole object (200) for each range, without
// Accept-Ranges.
func (r *Rule) IgnoreRange() *Rule { return r.add(func(p *plan) { p.ignoreRange = true }) }

// IfMatchFails answers 412 to every request with If-Match, also to one with the
// ETag that the origin sent. Some servers do.
func (r *Rule) IfMatchFails() *Rule { return r.add(func(p *plan) { p.matchFails = true }) }

// RangeFails answers every request with Range with an error, such as 403 or 501.
// Some servers do.
func (r *Rule) RangeFails(status int) *Rule {
	return r.add(func(p *plan) { p.rangeFails = status })
}

// Page responds with a 200 and a page in HTML, without fields of the object, as
// a captive portal does.
func (r *Rule) Page(html string) *Rule {
	return r.Status(200).Text(html).Header("Content-Type", "text/html").
		add(func(p *plan) { p.page = true })
}

// ContentRange sets Content-Range to any text. The body does not change. An
// empty text removes the field.
func (r *Rule) ContentRange(value string) *Rule { return r.Header("Content-Range", value) }

// StartEarlier begins a partial response n bytes before the requested byte, at
// least at 0, in Content-Range and body.
func (r *Rule) StartEarlier(n int64) *Rule { return r.add(func(p *plan) { p.shift = -n }) }

// StartLater begins a partial response n bytes after the requested byte, in
// Content-Range and body.
func (r *Rule) StartLater(n int64) *Rule { return r.add(func(p *plan) { p.shift = n }) }

// Total sets the size of the whole object in Content-Range; a negative one
// becomes "*" (unknown).
func (r *Rule) Total(n int64) *Rule { return r.add(func(p *plan) { p.total = &n }) }

// AtMost ends a partial response after n bytes, in Content-Range and body. RFC
// 9110 §15.3.7 allows fewer bytes than requested.
func (r *Rule) AtMost(n int64) *Rule { return r.add(func(p *plan) { p.atMost = n }) }

// Status sets the status. From 300 on, the body is a short text and the header
// has no fields of the object; a 416 has "Content-Range: bytes */SIZE", which
// ContentRange("") removes. Below 300 only the number changes.
func (r *Rule) Status(code int) *Rule { return r.add(func(p *plan) { p.status = code }) }

// Text sets the body of a response with a status of 300 or more.
func (r *Rule) Text(body string) *Rule { return r.add(func(p *plan) { p.text = []byte(body) }) }

// EndlessText makes the body of a response with a status of 300 or more
// endless. It has no Content-Length.
func (r *Rule) EndlessText() *Rule {
	return r.add(func(p *plan) {
		p.endless = true
		if p.framing == byLength {
			p.framing = untilClose
		}
	})
}

// Header sets a header field of any response; an empty value removes the field.
func (r *Rule) Header(name, value string) *Rule {
	return r.add(func(p *plan) { p.edits = append(p.edits, field{name: name, value: value}) })
}

// AddHeader adds a header field to those of the same name. Two calls produce a
// field with two values.
func (r *Rule) AddHeader(name, value string) *Rule {
	return r.add(func(p *plan) { p.edits = append(p.edits, field{name, value, true}) })
}

// HugeHeader adds about n bytes of header fields, in lines of 4 KiB.
func (r *Rule) HugeHeader(n int) *Rule { return r.add(func(p *plan) { p.hugeHeader = n }) }

// RetryAfter sets Retry-After to any text: seconds, a date, or nonsense.
func (r *Rule) RetryAfter(value string) *Rule { return r.Header("Retry-After", value) }

// RetryAfterDate sets Retry-After to the date d after that of the response.
func (r *Rule) RetryAfterDate(d time.Duration) *Rule {
	return r.add(func(p *plan) { p.retryIn = &d })
}

// ClockAhead sets the origin's clock d ahead, for Date and RetryAfterDate.
func (r *Rule) ClockAhead(d time.Duration) *Rule { return r.add(func(p *plan) { p.skew = d }) }

// Redirect responds with a status such as 302 and a Location, which may be
// relative. Since an origin serves its object under every path, a chain of n
// redirects is Span(1, n).Redirect(302, "/elsewhere"), and a loop is
// Always().Redirect(302, "/again").
func (r *Rule) Redirect(code int, location string) *Rule {
	return r.Status(code).Header("Location", location)
}

// HTTP10 responds as an HTTP/1.0 server: no Content-Length and no chunks, the
// body ends with the connection.
func (r *Rule) HTTP10() *Rule {
	return r.add(func(p *plan) { p.proto, p.framing = "HTTP/1.0", untilClose })
}

// Chunked sends the body in chunks, without Content-Length.
func (r *Rule) Chunked() *Rule { return r.add(func(p *plan) { p.framing = chunked }) }

// UntilClose sends the body without Content-Length; it ends with the
// connection.
func (r *Rule) UntilClose() *Rule { return r.add(func(p *plan) { p.framing = untilClose }) }

// ContentLength sets Content-Length to any text. The body does not change; the
// connection is closed after it.
func (r *Rule) ContentLength(value string) *Rule {
	return r.Header("Content-Length", value).CloseSilently()
}

// Gzip compresses the body although the client did not request it, in chunks
// and with Content-Encoding: gzip.
func (r *Rule) Gzip() *Rule {
	return r.add(func(p *plan) { p.gzip, p.framing = true, chunked }).Header("Content-Encoding", "gzip")
}

// S3Error responds with an error as S3 sends it, for example S3Error(403,
// "SignatureDoesNotMatch", "...").
func (r *Rule) S3Error(status int, code, message string) *Rule {
	return r.s3Error(status, code, message, "")
}

// ExpiredAWS responds with the 403 of AWS for an expired signed URL.
func (r *Rule) ExpiredAWS() *Rule {
	return r.expired("<X-Amz-Expires>300</X-Amz-Expires><Expires>2026-01-01T00:05:00Z</Expires>" +
		"<ServerTime>2026-01-01T00:05:01Z</ServerTime>")
}

// ExpiredMinIO responds with the 403 of MinIO for an expired signed URL.
func (r *Rule) ExpiredMinIO() *Rule {
	return r.expired("<Key>package.bin</Key><BucketName>ota</BucketName>" +
		"<Resource>/ota/package.bin</Resource>")
}

// ExpiredVersity responds with the 403 of versitygw for an expired signed URL.
func (r *Rule) ExpiredVersity() *Rule {
	return r.expired("<ServerTime>2026-01-01T00:05:01Z</ServerTime>" +
		"<X-Amz-Expires>300</X-Amz-Expires><Expires>2026-01-01T00:05:00Z</Expires>")
}

func (r *Rule) expired(details string) *Rule {
	return r.s3Error(403, "AccessDenied", "Request has expired", details)
}

func (r *Rule) s3Error(status int, code, message, details string) *Rule {
	return r.Status(status).Header("Content-Type", "application/xml").
		Text(fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"+
			"<Error><Code>%s</Code><Message>%s</Message>%s<RequestId>4442587FB7D0A2F9</RequestId>"+
			"<HostId>bm90IGEgcmVhbCBob3N0</HostId></Error>", code, message, details))
}
