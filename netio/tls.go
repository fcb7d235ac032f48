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

// maxHeader bounds the header of an answer.
const maxHeader = 256 << 10

// newTransport returns the one transport of a Fetcher: HTTP/1.1 (a second protocol costs memory and gains nothing for one
// body at a time), and one connection for each request. Connections are not kept: a retry must never be sent into what
// is left of the connection that just failed, a cancelled dial must not go on for the benefit of a later request, and the
// client certificate is to be read again each time.
func newTransport(c Config, t *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Protocols:              protocols,
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: checkProxy,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
			defer cancel()
			return c.Dial(ctx, network, addr)
		},
		TLSClientConfig:        t,
		TLSHandshakeTimeout:    c.ConnectTimeout,
		ResponseHeaderTimeout:  c.HeaderTimeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		DisableKeepAlives:      true,
	}
}

// checkProxy turns a proxy's refusal to connect us into a Failure: 5xx is its word for an origin out of reach, anything
// else its word for us.
func checkProxy(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusOK:
		return nil
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return refusef(resp.StatusCode, "the proxy wants other credentials (HTTP %d)", resp.StatusCode)
	case resp.StatusCode >= 500:
		return &Error{
			Kind: Transient, Reason: ReasonConnect, Status: resp.StatusCode,
			Detail: fmt.Sprintf("the proxy cannot reach the origin (HTTP %d)", resp.StatusCode),
		}
	}
	return refusef(resp.StatusCode, "the proxy refuses to connect (HTTP %d)", resp.StatusCode)
}

func newTLSConfig(c Config) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, Time: c.Now}
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
	if c.ClientCert != "" {
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return readClientCertificate(c.ClientCert, c.ClientKey)
		}
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

// readClientCertificate reads the pair anew, so that a renewed certificate needs no restart. What cannot be read may be
// a renewal caught between its two files: worth another try.
func readClientCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, &Error{Kind: Transient, Reason: ReasonTLS, Detail: "client certificate: " + Scrub(err.Error()), Err: err}
	}
	return &pair, nil
}

// certificateProblem says what is wrong with the server's certificate, if that is what err is about.
func (f *Fetcher) certificateProblem(err error) (string, bool) {
	problem, ok := certificateProblem(err)
	now, built := f.cfg.Now(), f.cfg.BuildTime
	if ok && now.Before(built) {
		problem += fmt.Sprintf("; likely because the board's clock is wrong: it says %s, which is before this program was built (%s)",
			now.UTC().Format(time.DateOnly), built.UTC().Format(time.DateOnly))
	}
	return problem, ok
}

// certificateProblem is in our own words, as x509's quote names out of a certificate that nobody vouches for.
func certificateProblem(err error) (string, bool) {
	var (
		verification *tls.CertificateVerificationError
		host         x509.HostnameError
		unknown      x509.UnknownAuthorityError
		invalid      x509.CertificateInvalidError
		roots        x509.SystemRootsError
	)
	switch {
	case errors.As(err, &host):
		return "the server's certificate is for another host", true
	case errors.As(err, &unknown):
		return "the server's certificate is signed by an unknown authority", true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is expired or not yet valid", true
	case errors.As(err, &roots):
		return "the system has no CA certificates: name a CA file", true
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "the server's certificate is not valid", true
	}
	return "", false
}
