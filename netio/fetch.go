package netio

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// The defaults of Config.
const (
	DefaultConnectTimeout = 10 * time.Second
	DefaultHeaderTimeout  = 30 * time.Second
	DefaultReadTimeout    = 300 * time.Second
)

// maxRedirects is the number of redirects that one Open follows.
const maxRedirects = 10

// Config configures a [Fetcher]. The zero value is usable: https only, the
// system's CA certificates, no rate limit.
type Config struct {
	// ConnectTimeout is for the name lookup and the dial, and again for the TLS
	// handshake; 0: DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// HeaderTimeout is from the request to the end of the response's header,
	// and again for the body of an error response; 0: DefaultHeaderTimeout.
	HeaderTimeout time.Duration
	// ReadTimeout is the longest time without a byte of the body; 0:
	// DefaultReadTimeout.
	ReadTimeout time.Duration
	// MinRate is the lowest rate of a body in bytes per second, averaged over
	// ReadTimeout of waiting for it; 0: any.
	MinRate int64
	// RetryAfterMax is the longest Error.Wait; 0: no wait is taken from the
	// server.
	RetryAfterMax time.Duration

	// RetryStatus lists statuses of 400 and above that are Transient. 403, 429,
	// 500, 502, 503 and 504 with a Retry-After always are.
	RetryStatus []int
	// RateLimit is in bytes per second, for all bodies of the Fetcher
	// together; 0: no limit.
	RateLimit int64
	// AllowHTTP allows http for other hosts than loopback, see CheckURL.
	AllowHTTP bool

	// TLSMin is the lowest version of TLS, see [TLSConfig]; 0: 1.2.
	TLSMin uint16
	// CAFile is a PEM file with CA certificates; empty: those of the system.
	CAFile string
	// ClientCert and ClientKey are PEM files, read for each connection that
	// needs them; both or neither. Only the host of Request.URL is shown the
	// certificate.
	ClientCert, ClientKey string
	// Header is sent in addition, but only to scheme, host and port of
	// Request.URL. It may contain credentials and Accept, but no other field that
	// this package sets itself.
	Header http.Header
	// UserAgent is, for example, "otad/1.2.3"; empty: "otad".
	UserAgent string

	// BuildTime is when the program was built. If the clock is before it and a
	// certificate is not valid, the error is NoClock. Zero: no such check.
	BuildTime time.Time

	// Dial makes the connections; nil: a net.Dialer. Its ctx ends after
	// ConnectTimeout.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Lookup returns the addresses of a host, each of which Dial is then called
	// with. Nil: the system's resolver, or, with a Dial, the names themselves are
	// dialled.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
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
	setDuration(&c.ConnectTimeout, DefaultConnectTimeout)
	setDuration(&c.HeaderTimeout, DefaultHeaderTimeout)
	setDuration(&c.ReadTimeout, DefaultReadTimeout)
	c.Header = c.Header.Clone()
	if c.UserAgent == "" {
		c.UserAgent = "otad"
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{ControlContext: checkDialed}).DialContext
		if c.Lookup == nil {
			c.Lookup = lookup
		}
	} else {
		dial := c.Dial
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if err := checkDialed(ctx, network, addr, nil); err != nil {
				return nil, err
			}
			return dial(ctx, network, addr)
		}
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
	cfg     Config
	limiter *rate.Limiter // nil: no limit; shared by all bodies
	opens   atomic.Uint32 // calls of Open

	mu        sync.Mutex // guards the fields below
	transport *http.Transport
	roots     *x509.CertPool // of transport; nil: to be read
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
	f := &Fetcher{cfg: c, limiter: newLimiter(c.RateLimit), roots: tlsConfig.RootCAs}
	f.transport = newTransport(c, tlsConfig, f.dial)
	return f, nil
}

// Close releases the connections that no Body uses. Open bodies stay usable.
func (f *Fetcher) Close() {
	f.transportFor("").CloseIdleConnections()
}

// Open requests r and returns a Body, which the caller must close. It blocks
// until the header of the response has arrived; the timeouts of Config bound
// each step. Cancelling ctx ends Open, and later the reads of the Body.
//
// The error is an [*Error], or ctx's own error if ctx has ended.
func (f *Fetcher) Open(ctx context.Context, r Request) (*Body, error) {
	f.opens.Add(1)
	x := newExchange(ctx)
	b, err := f.open(x, r)
	if err != nil {
		err = x.locate(f.errorOf(x, err))
		x.end()
		return nil, err
	}
	return b, nil
}

func (f *Fetcher) open(x *exchange, r Request) (*Body, error) {
	for how := (form{}); ; {
		resp, err := f.send(x, r, how)
		if err != nil {
			return nil, err
		}
		p, e := f.checkResponse(x, resp, r)
		if e == nil {
			return f.newBody(x, resp, r, p), nil
		}
		resp.Body.Close()
		simpler := how.simpler(r, e)
		if simpler == how || x.ctx.Err() != nil {
			return nil, e
		}
		how = simpler
	}
}
