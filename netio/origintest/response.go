package origintest

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// framing is how the end of a body is marked.
type framing int

const (
	byLength framing = iota
	chunked
	untilClose
)

// field is a line of the header. In plan.edits it replaces all lines of that
// name, or is added to them if add is set.
type field struct {
	name, value string
	add         bool
}

// response is one response, ready to be written.
type response struct {
	proto    string
	status   int
	header   []field
	body     io.ReaderAt
	span          // of body
	isObject bool // body is the object
}

// response returns the response to a request: the correct one, changed by the
// rules.
func (p *plan) response(req *http.Request) *response {
	v := p.validators()
	h := req.Header.Clone()
	if p.ignoreRange {
		h.Del("Range")
	}
	status, s := evaluate(h, v, p.object.Len())
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		status = http.StatusMethodNotAllowed
	}
	switch {
	case p.status != 0:
		status = p.status
	case p.matchFails && h.Get("If-Match") != "":
		status = http.StatusPreconditionFailed
	case p.rangeFails != 0 && h.Get("Range") != "":
		status = p.rangeFails
	}
	r := &response{proto: "HTTP/1.1", status: status}
	if p.proto != "" {
		r.proto = p.proto
	}
	r.set("Date", p.now().Format(http.TimeFormat))
	if status < 300 && !p.page {
		p.setObject(r, v, s)
	} else {
		p.setText(r)
	}
	p.setFraming(r)
	p.editHeader(r)
	if req.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		r.end = r.start
	}
	return r
}

// setObject makes s of the object the body of r.
func (p *plan) setObject(r *response, v validators, s span) {
	if r.status == http.StatusPartialContent {
		s.start = min(max(0, s.start+p.shift), s.end)
		if p.atMost > 0 {
			s.end = min(s.end, s.start+p.atMost)
		}
	}
	r.body, r.span, r.isObject = p.object, s, true
	r.set("Content-Type", "application/octet-stream")
	if !p.ignoreRange {
		r.set("Accept-Ranges", "bytes")
	}
	r.set("ETag", v.etag)
	r.set("Last-Modified", v.lastModified)
	if r.status == http.StatusPartialContent {
		size := p.object.Len()
		if p.total != nil {
			size = *p.total
		}
		total := "*"
		if size >= 0 {
			total = strconv.FormatInt(size, 10)
		}
		r.set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", s.start, s.end-1, total))
	}
}

// setText makes a text the body of r, an error or a redirect.
func (p *plan) setText(r *response) {
	text := p.text
	if text == nil {
		text = []byte(http.StatusText(r.status) + "\n")
	}
	r.body, r.span = bytes.NewReader(text), span{0, int64(len(text))}
	if p.endless {
		r.body, r.span = filler('.'), span{0, math.MaxInt64}
	}
	r.set("Content-Type", "text/plain; charset=utf-8")
	if r.status == http.StatusRequestedRangeNotSatisfiable {
		r.set("Content-Range", fmt.Sprintf("bytes */%d", p.object.Len()))
	}
	if r.status == http.StatusMethodNotAllowed {
		r.set("Allow", "GET, HEAD")
	}
}

func (p *plan) setFraming(r *response) {
	switch p.framing {
	case byLength:
		r.set("Content-Length", strconv.FormatInt(r.end-r.start, 10))
	case chunked:
		r.set("Transfer-Encoding", "chunked")
	}
	if p.closeAnnounced || p.framing == untilClose && r.proto == "HTTP/1.1" {
		r.set("Connection", "close")
	}
}

// editHeader changes the header as the rules require.
func (p *plan) editHeader(r *response) {
	if p.retryIn != nil {
		r.set("Retry-After", p.now().Add(*p.retryIn).Format(http.TimeFormat))
	}
	for _, f := range p.edits {
		if !f.add {
			r.header = slices.DeleteFunc(r.header, func(old field) bool {
				return strings.EqualFold(old.name, f.name)
			})
		}
		r.set(f.name, f.value)
	}
	const line = 4096
	for n := p.hugeHeader; n > 0; n -= line {
		r.set("X-Filler", strings.Repeat("f", min(n, line)))
	}
}

// set adds a line to the header, unless the value is empty.
func (r *response) set(name, value string) {
	if value != "" {
		r.header = append(r.header, field{name: name, value: value})
	}
}

// head returns the status line and the header as they are written.
func (r *response) head() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d %s\r\n", r.proto, r.status, http.StatusText(r.status))
	for _, f := range r.header {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// filler is a content without end that repeats one byte.
type filler byte

func (f filler) ReadAt(p []byte, _ int64) (int, error) {
	for i := range p {
		p[i] = byte(f)
	}
	return len(p), nil
}
