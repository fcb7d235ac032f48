package netio

import (
	"context"
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// The defaults of Config.
const (
	defaultConnectTimeout = 10 * time.Second
	defaultHeaderTimeout  = 30 * time.Second
	defaultReadTimeout    = 300 * time.Second
	defaultRetryAfterMax  = 5 * time.Minute
)

// maxRedirects is the number of redirects that one Open follows.
const maxRedirects = 10

// Config configures a [Fetcher]. The zero value is usable: https only, the
// system's CA certificates, no rate limit.
type Config struct {
	// ConnectTimeout is for the dial, and again for the TLS handshake; 0: 10 s.
	ConnectTimeout time.Duration
	// HeaderTimeout is from the request to the end of the response's header,
	// and again for the body of an error response; 0: 30 s.
	HeaderTimeout time.Duration
	// ReadTimeout is the longest time without a byte of the body; 0: 300 s.
	ReadTimeout time.Duration
	// RetryAfterMax is the longest Error.Wait; 0: 5 min.
	RetryAfterMax time.Duration

	// RetryStatus lists statuses of 400 and above that are Transient. 429 and
	// 503 with a Retry-After always are.
	RetryStatus []int
	// RateLimit is in bytes per second, for all bodies of the Fetcher
	// together; 0: no limit.
	RateLimit int64
	// AllowHTTP allows http for other hosts than loopback.
	AllowHTTP bool

	// CAFile is a PEM file with CA certificates; empty: those of the system.
	CAFile string
	// ClientCert and ClientKey are PEM files, read for each connection that
	// needs them; both or neither.
	ClientCert, ClientKey string
	// UserAgent is, for example, "otad/1.2.3"; empty: "otad".
	UserAgent string

	// BuildTime is when the program was built. If the clock is before it and a
	// certificate is not valid, the error names the clock as the likely cause.
	// Zero: no such check.
	BuildTime time.Time

	// Dial makes the connections; nil: a net.Dialer. Its ctx ends after
	// ConnectTimeout.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Now is the clock for certificates and HTTP dates; nil: time.Now.
	Now func() time.Time
}

// withDefaults returns c with the defaults in place of zero values.
func (c Config) withDefaults() Config {
	setDuration := func(d *time.Duration, byDefault time.Duration) {
		if *d <= 0 {
			*d = byDefault
		}
	}
	setDuration(&c.ConnectTimeout, defaultConnectTimeout)
	setDuration(&c.HeaderTimeout, defaultHeaderTimeout)
	setDuration(&c.ReadTimeout, defaultReadTimeout)
	setDuration(&c.RetryAfterMax, defaultRetryAfterMax)
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

// Fetcher opens objects. Make one with [New] and use it for all downloads: the
// rate limit holds for all its bodies together. Its methods may be called from
// any goroutine.
type Fetcher struct {
	cfg       Config
	transport *http.Transport
	limiter   *rate.Limiter // nil: no limit; shared by all bodies
}

// New returns a Fetcher. It returns an error if the CA file cannot be read or
// contains no certificate, and if only one of ClientCert and ClientKey is set.
// Those two files are not read before a server requests a client certificate.
func New(c Config) (*Fetcher, error) {
	c = c.withDefaults()
	tlsConfig, err := newTLSConfig(c)
	if err != nil {
		return nil, err
	}
	return &Fetcher{
		cfg: c, transport: newTransport(c, tlsConfig), limiter: newLimiter(c.RateLimit),
	}, nil
}

// Close releases the connections that no Body uses. Open bodies stay usable.
func (f *Fetcher) Close() {
	f.transport.CloseIdleConnections()
}

// Open requests r and returns a Body, which the caller must close. It blocks
// until the header of the response has arrived; the timeouts of Config bound
// each step. Cancelling ctx ends Open, and later the reads of the Body.
//
// The error is an [*Error], or ctx's own error if ctx has ended.
func (f *Fetcher) Open(ctx context.Context, r Request) (*Body, error) {
	x := newExchange(ctx)
	resp, err := f.send(x, r)
	if err != nil {
		err = f.errorOf(x, err)
		x.end()
		return nil, err
	}
	p, e := f.checkResponse(x, resp, r)
	if e != nil {
		resp.Body.Close()
		x.end()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, e
	}
	return f.newBody(x, resp, r, p), nil
}
