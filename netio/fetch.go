// Package netio asks an origin for one object over HTTP/1.1 and hands out its bytes so that they can be joined to bytes
// held from before.
//
// The invariant it owns: byte k that comes out of a [Body] is byte Body.Offset+k of the object that Body.Validator
// names, and [io.EOF] comes after the object's last byte and nowhere else. Whatever cannot be promised is a [*Error],
// which says what the caller may do about it: wait and ask again, start over, or give up. The package never retries by
// itself, because what a retry may start from is known only to those who made the bytes durable.
//
//	f, err := netio.New(netio.Config{UserAgent: "otad/1.0.0"})
//	...
//	body, err := f.Open(ctx, netio.Request{URL: u, Offset: durable, Size: size, Validator: learned})
//	...
//	defer body.Close()
//	n, err := body.Read(block)
//
// No URL's query or userinfo gets into an error of this package: a signed URL is a key.
package netio

import (
	"context"
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// What Config's zero durations stand for.
const (
	defaultConnectTimeout = 10 * time.Second
	defaultHeaderTimeout  = 30 * time.Second
	defaultReadTimeout    = 300 * time.Second
	defaultRetryAfterMax  = 5 * time.Minute
)

// maxRedirects is how many redirects one Open follows.
const maxRedirects = 10

// Config says how a [Fetcher] talks. The zero value is usable: https only, the system's CAs, no rate limit.
type Config struct {
	ConnectTimeout time.Duration // for the dial, and again for the TLS handshake; 0: 10 s
	HeaderTimeout  time.Duration // from the request to the end of the answer's header, and for the text of an error answer; 0: 30 s
	ReadTimeout    time.Duration // longest silence between two reads of the body; 0: 300 s
	RetryAfterMax  time.Duration // cap of what a Retry-After may ask for; 0: 5 min

	RetryStatus []int // statuses of 400 and above that are Transient though the server did not invite a retry
	RateLimit   int64 // bytes a second over all bodies of the Fetcher; 0: none
	AllowHTTP   bool  // permits http to hosts other than loopback

	CAFile                string // PEM file of the CAs to trust instead of the system's; empty: the system's
	ClientCert, ClientKey string // PEM files, read again at each connection; both or neither
	UserAgent             string // for example "otad/1.2.3"; empty: "otad"

	// BuildTime is a moment the clock cannot rightly be before. When a certificate does not hold and the clock is, the
	// error names the clock as the likely cause. Zero: never.
	BuildTime time.Time

	// Dial makes the connections; nil: a net.Dialer. It is given ConnectTimeout through ctx.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Now is the clock that certificates and HTTP dates are judged by; nil: time.Now.
	Now func() time.Time
}

// withDefaults returns c with its zero values filled in.
func (c Config) withDefaults() Config {
	orDuration := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	orDuration(&c.ConnectTimeout, defaultConnectTimeout)
	orDuration(&c.HeaderTimeout, defaultHeaderTimeout)
	orDuration(&c.ReadTimeout, defaultReadTimeout)
	orDuration(&c.RetryAfterMax, defaultRetryAfterMax)
	if c.UserAgent == "" {
		c.UserAgent = "otad"
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// A Fetcher opens objects. Its methods may be called from any goroutine, though otad has one Body open at a time.
type Fetcher struct {
	cfg       Config
	transport *http.Transport
	limiter   *rate.Limiter // nil: no limit; shared by all bodies, so that a reconnection is not given a fresh burst
}

// New returns a Fetcher. It fails when the CA file cannot be read or holds no certificate, and when only one half of the
// client certificate is named; the client certificate itself is first read when a server asks for it.
func New(c Config) (*Fetcher, error) {
	c = c.withDefaults()
	tlsConfig, err := newTLSConfig(c)
	if err != nil {
		return nil, err
	}
	return &Fetcher{cfg: c, transport: newTransport(c, tlsConfig), limiter: newLimiter(c.RateLimit)}, nil
}

// Close drops what the Fetcher holds. Bodies that are still open stay usable.
func (f *Fetcher) Close() {
	f.transport.CloseIdleConnections()
}

// Open asks for r and returns the body of an answer that may be used. It blocks until the header of the answer is there,
// each stage bounded by Config's timeouts. The caller closes the Body; ctx bounds the reading of it too.
//
// Every error is a [*Error], or ctx's own error when ctx ended.
func (f *Fetcher) Open(ctx context.Context, r Request) (*Body, error) {
	x := newExchange(ctx)
	resp, err := f.ask(x, r)
	if err != nil {
		err = f.broken(x, err)
		x.end()
		return nil, err
	}
	got, failure := f.judge(x, resp, r)
	if failure != nil {
		resp.Body.Close()
		x.end()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, failure
	}
	return f.newBody(x, resp, r, got), nil
}
