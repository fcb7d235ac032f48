package origintest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Misuse is a set of things that a well-behaved downloader does not do.
type Misuse uint

// The origin watches for all of these unless [Config.Allow] says otherwise.
const (
	OtherMethod     Misuse = 1 << iota // any method but GET: a URL signed for GET refuses HEAD
	NoRange                            // no Range, or more than one
	OtherEncoding                      // Accept-Encoding missing or other than "identity"
	Authorization                      // S3 refuses it beside a pre-signed URL
	AmzHeader                          // x-amz-*: S3 refuses those that were not signed
	Referer                            // would give away a pre-signed URL
	TwoConnections                     // a request while another connection is open (it has a second to close)
	Malformed                          // a request that cannot be read, or HTTP/1.1 without Host
	AllowEverything = ^Misuse(0)
)

// Misuses returns what the client did wrong so far, a line each. With a TB each was reported by Errorf too.
func (o *Origin) Misuses() []string {
	o.record.mu.Lock()
	defer o.record.mu.Unlock()
	return slices.Clone(o.record.misuses)
}

// inspect notes what is wrong with a request.
func (o *Origin) inspect(n int, req *http.Request) {
	h := req.Header
	o.accuse(OtherMethod, req.Method != http.MethodGet, n, "method "+req.Method)
	o.accuse(NoRange, len(h.Values("Range")) != 1, n, fmt.Sprintf("%d Range fields", len(h.Values("Range"))))
	o.accuse(OtherEncoding, !slices.Equal(h.Values("Accept-Encoding"), []string{"identity"}), n,
		fmt.Sprintf("Accept-Encoding %q", h.Values("Accept-Encoding")))
	o.accuse(Authorization, h.Get("Authorization") != "", n, "Authorization field")
	o.accuse(Referer, h.Get("Referer") != "", n, "Referer field")
	o.accuse(Malformed, req.ProtoAtLeast(1, 1) && req.Host == "", n, "no Host field")
	for name := range h {
		o.accuse(AmzHeader, strings.HasPrefix(strings.ToLower(name), "x-amz-"), n, name+" field")
	}
}

// accuse notes a misuse if it is one and is watched for. n is the request's number, 0 where there is none.
func (o *Origin) accuse(m Misuse, guilty bool, n int, what string) {
	if !guilty || o.config.Allow&m != 0 {
		return
	}
	line := fmt.Sprintf("origintest: request %d: %s", n, what)
	o.record.mu.Lock()
	o.record.misuses = append(o.record.misuses, line)
	o.record.mu.Unlock()
	if o.tb != nil {
		o.tb.Errorf("%s", line)
	}
}

// alone waits until c is the only connection, or complains. The wait is there because net/http closes a connection in the background: its
// successor may be a moment ahead.
func (o *Origin) alone(c *conn, n int) {
	if o.config.Allow&TwoConnections != 0 {
		return
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for {
		other := o.other(c)
		if other == nil {
			return
		}
		select {
		case <-other.gone:
		case <-c.gone:
			return
		case <-o.closing:
			return
		case <-patience.C:
			o.accuse(TwoConnections, true, n, fmt.Sprintf("connection %d while %d is open", c.number, other.number))
			return
		}
	}
}

// other returns a connection that its client has not closed, and that is not c.
func (o *Origin) other(c *conn) *conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	for other := range o.conns {
		select {
		case <-other.gone:
		default:
			if other != c {
				return other
			}
		}
	}
	return nil
}
