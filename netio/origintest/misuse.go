package origintest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Misuse is a set of things that a downloader of signed URLs must not do.
// Combine them with |.
type Misuse uint

// The origin reports each of these, except for those in [Config].Allow. It
// waits for one second before it reports TwoConnections.
const (
	OtherMethod     Misuse = 1 << iota // not GET; a URL is signed for one method
	NoRange                            // no Range field, unless one was refused, or more than one
	OtherEncoding                      // Accept-Encoding is not "identity"
	Authorization                      // S3 refuses it beside a signed URL
	AmzHeader                          // x-amz-*: S3 refuses unsigned ones
	Referer                            // would reveal a signed URL
	TwoConnections                     // a request beside another open connection
	Malformed                          // not HTTP, or HTTP/1.1 without Host
	AllowEverything = ^Misuse(0)
)

// Misuses returns what the client did wrong so far, one line for each. In a
// test each line was also reported with Errorf.
func (o *Origin) Misuses() []string {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	return slices.Clone(o.record.misuses)
}

// inspect reports all misuses of request n.
func (o *Origin) inspect(n int, req *http.Request) {
	h := req.Header
	ranges, encodings := h.Values("Range"), h.Values("Accept-Encoding")
	o.report(OtherMethod, req.Method != http.MethodGet, n, "method "+req.Method)
	o.report(NoRange, len(ranges) != 1 && (len(ranges) > 0 || !o.refusedBefore(n)), n,
		fmt.Sprintf("%d Range fields", len(ranges)))
	o.report(OtherEncoding, !slices.Equal(encodings, []string{"identity"}), n,
		fmt.Sprintf("Accept-Encoding %q", encodings))
	o.report(Authorization, h.Get("Authorization") != "", n, "Authorization field")
	o.report(Referer, h.Get("Referer") != "", n, "Referer field")
	o.report(Malformed, req.ProtoAtLeast(1, 1) && req.Host == "", n, "no Host field")
	for name := range h {
		amz := strings.HasPrefix(strings.ToLower(name), "x-amz-")
		o.report(AmzHeader, amz, n, name+" field")
	}
}

// refusedBefore reports whether the last Range before request n was answered
// with a status that may refuse ranges.
func (o *Origin) refusedBefore(n int) bool {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	for _, r := range slices.Backward(o.record.requests[:n-1]) {
		if r.Range != "" {
			return slices.Contains([]int{403, 416, 501}, r.Status)
		}
	}
	return false
}

// report records misuse m of request n if found is true and m is not allowed. n
// is 0 if the request has no number.
func (o *Origin) report(m Misuse, found bool, n int, text string) {
	if !found || o.config.Allow&m != 0 {
		return
	}
	line := fmt.Sprintf("origintest: request %d: %s", n, text)
	o.record.mu.Lock()
	o.record.misuses = append(o.record.misuses, line)
	o.record.mu.Unlock()
	if o.tb != nil {
		o.tb.Errorf("%s", line)
	}
}

// waitAlone waits until c is the only connection, and reports a misuse after
// one second. It waits because net/http closes connections in the background,
// so that a new one may arrive before the end of the old one.
func (o *Origin) waitAlone(c *conn, n int) {
	if o.config.Allow&TwoConnections != 0 {
		return
	}
	timeout := time.NewTimer(time.Second)
	defer timeout.Stop()
	for {
		other := o.otherConn(c)
		if other == nil {
			return
		}
		select {
		case <-other.done:
		case <-c.done:
			return
		case <-o.closing:
			return
		case <-timeout.C:
			o.report(TwoConnections, true, n,
				fmt.Sprintf("connection %d while %d is open", c.number, other.number))
			return
		}
	}
}

// otherConn returns a connection other than c that has not ended, or nil.
func (o *Origin) otherConn(c *conn) *conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	for other := range o.conns {
		select {
		case <-other.done:
		default:
			if other != c {
				return other
			}
		}
	}
	return nil
}
