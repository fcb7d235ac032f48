package netio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// maxHeader is the size limit for the header of a response, in bytes.
const maxHeader = 256 << 10

// newTransport returns the transport of a Fetcher.
//
// It uses HTTP/1.1 only: HTTP/2 costs memory and gains nothing for one body at
// a time. It keeps no connections, for three reasons: a retry must not use what
// is left of a failed connection, a cancelled dial must not go on in the
// background for a later request, and the client certificate must be read again
// each time.
func newTransport(
	c Config, t *tls.Config, dial func(context.Context, string, string) (net.Conn, error),
) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Protocols:              protocols,
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: checkProxy,
		DialContext:            dial,
		TLSClientConfig:        t,
		TLSHandshakeTimeout:    c.ConnectTimeout,
		ResponseHeaderTimeout:  c.HeaderTimeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		DisableKeepAlives:      true,
	}
}

// checkProxy returns an *Error if a proxy refuses CONNECT. With a 5xx it cannot
// reach the origin, which may be over soon; with any other status it refuses
// this client.
func checkProxy(ctx context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusOK:
		if h := hopOf(ctx); h != nil {
			h.tunneled.Store(true)
		}
		return nil
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return permanentf(resp.StatusCode, "the proxy wants other credentials (HTTP %d)", resp.StatusCode)
	case resp.StatusCode >= 500:
		return &Error{
			Kind: Transient, Reason: ReasonConnect, Status: resp.StatusCode,
			Detail: fmt.Sprintf("the proxy cannot reach the origin (HTTP %d)", resp.StatusCode),
		}
	}
	return permanentf(resp.StatusCode, "the proxy refuses to connect (HTTP %d)", resp.StatusCode)
}

func newTLSConfig(c Config) (*tls.Config, error) {
	t := TLSConfig(c.TLSMin)
	t.Time = c.Now
	// With ALPN, a server without HTTP/1.1 refuses with an alert that names it.
	t.NextProtos = []string{"http/1.1"}
	if c.CAFile != "" {
		pool, err := readCAs(c.CAFile)
		if err != nil {
			return nil, err
		}
		t.RootCAs = pool
	}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		return nil, errors.New("client certificate: certificate and key go together, and only one is named")
	}
	t.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return clientCertificate(r.Context(), func() (*tls.Certificate, error) {
			if c.ClientCert == "" {
				return new(tls.Certificate), nil
			}
			return readClientCertificate(c.ClientCert, c.ClientKey)
		})
	}
	return t, nil
}

func readCAs(name string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("ca file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca file: %s holds no certificate", name)
	}
	return pool, nil
}

// readClientCertificate reads the certificate and its key for each connection,
// so that a renewed one needs no restart. An error is Transient: a renewal may
// have replaced only one of the two files yet.
func readClientCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, &Error{
			Kind: Transient, Reason: ReasonTLS,
			Detail: "client certificate: " + Scrub(err.Error()), Err: err,
		}
	}
	return &pair, nil
}

// certificateError returns the error for a server's certificate that is not
// valid, or nil if err has another cause.
func (f *Fetcher) certificateError(err error) *Error {
	if weak := (*weakKeyError)(nil); errors.As(err, &weak) {
		f.dropRoots()
		return &Error{Kind: Transient, Reason: ReasonTLS, Detail: weak.Error(), Err: err}
	}
	problem, ok := describeCertificateError(err)
	if !ok {
		return nil
	}
	var unknown x509.UnknownAuthorityError
	if !f.dropRoots() && errors.As(err, &unknown) {
		problem = noRoots
	}
	kind := Transient // a portal may have answered, or somebody repairs it
	now, built := f.cfg.Now(), f.cfg.BuildTime
	if now.Before(built) {
		kind = NoClock
		problem += fmt.Sprintf("; likely because the board's clock is wrong: "+
			"it says %s, which is before this program was built (%s)",
			now.UTC().Format(time.DateOnly), built.UTC().Format(time.DateOnly))
	}
	return &Error{Kind: kind, Reason: ReasonTLS, Detail: problem, Err: err}
}

// describeCertificateError returns a text of its own, because those of x509
// quote names from a certificate that was not verified.
func describeCertificateError(err error) (string, bool) {
	var (
		verification *tls.CertificateVerificationError
		host         x509.HostnameError
		unknown      x509.UnknownAuthorityError
		invalid      x509.CertificateInvalidError
		roots        x509.SystemRootsError
	)
	switch {
	case errors.As(err, &host) && !hasSAN(host.Certificate):
		return "the server's certificate has no SAN (subject alternative name), and a common name does not count", true
	case errors.As(err, &host):
		return "the server's certificate is for another host", true
	case errors.As(err, &unknown):
		return "the server's certificate is signed by an unknown authority", true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is expired or not yet valid", true
	case errors.As(err, &roots):
		return noRoots, true
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "the server's certificate is not valid", true
	}
	return "", false
}

func hasSAN(c *x509.Certificate) bool {
	return len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses)+len(c.URIs) > 0
}
