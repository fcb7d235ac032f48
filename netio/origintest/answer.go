package origintest

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// framing is how an answer tells where its body ends.
type framing int

const (
	byLength framing = iota
	chunked
	untilClose
)

// field is a line of the header; as an edit it replaces the lines of that name unless add is set.
type field struct {
	name, value string
	add         bool
}

// answer is one response, ready to be written.
type answer struct {
	proto  string
	status int
	header []field
	body   io.ReaderAt
	span        // of body
	object bool // body is the object's
}

// answer makes the response to a request: the correct one, bent as the plan says.
func (p *plan) answer(req *http.Request) *answer {
	v := p.validators()
	h := req.Header.Clone()
	if p.ignoreRange {
		h.Del("Range")
	}
	status, s := judge(h, v, p.object.Len())
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		status = http.StatusMethodNotAllowed
	}
	if p.status != 0 {
		status = p.status
	}
	a := &answer{proto: "HTTP/1.1", status: status}
	if p.proto != "" {
		a.proto = p.proto
	}
	a.set("Date", p.clock().Format(http.TimeFormat))
	if status < 300 {
		p.deliver(a, v, s)
	} else {
		p.refuse(a)
	}
	p.frame(a)
	p.bend(a)
	if req.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		a.end = a.start
	}
	return a
}

// deliver makes the answer carry the object.
func (p *plan) deliver(a *answer, v validators, s span) {
	size := p.object.Len()
	if a.status == http.StatusPartialContent {
		s.start = min(max(0, s.start+p.shift), s.end)
		if p.most > 0 {
			s.end = min(s.end, s.start+p.most)
		}
	}
	a.body, a.span, a.object = p.object, s, true
	a.set("Content-Type", "application/octet-stream")
	if !p.ignoreRange {
		a.set("Accept-Ranges", "bytes")
	}
	a.set("ETag", v.etag)
	a.set("Last-Modified", v.lastModified)
	if a.status == http.StatusPartialContent {
		total := strconv.FormatInt(size, 10)
		if p.total != nil {
			total = strconv.FormatInt(*p.total, 10)
			if *p.total < 0 {
				total = "*"
			}
		}
		a.set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", s.start, s.end-1, total))
	}
}

// refuse makes the answer an error or a redirect with a text.
func (p *plan) refuse(a *answer) {
	text := p.text
	if text == nil {
		text = []byte(http.StatusText(a.status) + "\n")
	}
	a.body, a.span = bytes.NewReader(text), span{0, int64(len(text))}
	if p.endless {
		a.body, a.span = filler('.'), span{0, math.MaxInt64}
	}
	a.set("Content-Type", "text/plain; charset=utf-8")
	if a.status == http.StatusRequestedRangeNotSatisfiable {
		a.set("Content-Range", fmt.Sprintf("bytes */%d", p.object.Len()))
	}
	if a.status == http.StatusMethodNotAllowed {
		a.set("Allow", "GET, HEAD")
	}
}

// frame tells where the body ends.
func (p *plan) frame(a *answer) {
	switch p.framing {
	case byLength:
		a.set("Content-Length", strconv.FormatInt(a.end-a.start, 10))
	case chunked:
		a.set("Transfer-Encoding", "chunked")
	}
	if p.closeSaid || p.framing == untilClose && a.proto == "HTTP/1.1" {
		a.set("Connection", "close")
	}
}

// bend changes the header as the rules say.
func (p *plan) bend(a *answer) {
	if p.retryIn != nil {
		a.set("Retry-After", p.clock().Add(*p.retryIn).Format(http.TimeFormat))
	}
	for _, f := range p.edits {
		if !f.add {
			a.remove(f.name)
		}
		a.set(f.name, f.value)
	}
	const line = 4096
	for n := p.hugeHeader; n > 0; n -= line {
		a.set("X-Filler", strings.Repeat("f", min(n, line)))
	}
}

// set adds a line unless the value is empty.
func (a *answer) set(name, value string) {
	if value != "" {
		a.header = append(a.header, field{name: name, value: value})
	}
}

func (a *answer) remove(name string) {
	kept := a.header[:0]
	for _, f := range a.header {
		if !strings.EqualFold(f.name, name) {
			kept = append(kept, f)
		}
	}
	a.header = kept
}

// head is the status line and the header as they go on the wire.
func (a *answer) head() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d %s\r\n", a.proto, a.status, http.StatusText(a.status))
	for _, f := range a.header {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// filler is an endless content of one byte.
type filler byte

func (f filler) ReadAt(p []byte, _ int64) (int, error) {
	for i := range p {
		p[i] = byte(f)
	}
	return len(p), nil
}
