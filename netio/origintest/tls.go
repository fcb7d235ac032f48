package origintest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLS describes an origin that speaks https with a certificate of its own authority.
type TLS struct {
	Hosts               []string  // names and addresses the certificate is for; empty: 127.0.0.1, ::1, localhost and origin.test
	NotBefore, NotAfter time.Time // of the certificate; zero: a day ago, in ten years
	RequireClientCert   bool      // refuse clients without a certificate of the same authority
	MaxVersion          uint16    // tls.VersionTLS11, for example; 0: the newest
}

// certificates is what an origin with TLS needs, and what its clients do.
type certificates struct {
	server                                *tls.Config
	pool                                  *x509.CertPool
	caFile, clientCertFile, clientKeyFile string
	temporary                             string // directory to remove; empty: none
}

// CAFile returns the path of the PEM file with the authority that signed the origin's certificate. Only with TLS, as the next two.
func (o *Origin) CAFile() string { return o.certs.caFile }

// CAPool returns a pool with that authority.
func (o *Origin) CAPool() *x509.CertPool { return o.certs.pool }

// ClientFiles returns the paths of a certificate and a key, PEM, that satisfy [TLS].RequireClientCert.
func (o *Origin) ClientFiles() (cert, key string) {
	return o.certs.clientCertFile, o.certs.clientKeyFile
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertificates(t TLS, dir string) (*certificates, error) {
	c := &certificates{pool: x509.NewCertPool()}
	if dir == "" {
		made, err := os.MkdirTemp("", "origintest-")
		if err != nil {
			return nil, fmt.Errorf("origintest: %w", err)
		}
		dir, c.temporary = made, made
	}
	if err := c.fill(t, dir); err != nil {
		c.remove()
		return nil, fmt.Errorf("origintest: make certificates: %w", err)
	}
	return c, nil
}

func (c *certificates) fill(t TLS, dir string) error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	leaf, err := ca.issue(t.leaf())
	if err != nil {
		return err
	}
	client, err := ca.issue(template("origintest client", x509.ExtKeyUsageClientAuth))
	if err != nil {
		return err
	}
	c.pool.AddCert(ca.cert)
	c.server = t.server(leaf, c.pool)
	c.caFile = filepath.Join(dir, "ca.pem")
	c.clientCertFile, c.clientKeyFile = filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	key, err := x509.MarshalPKCS8PrivateKey(client.PrivateKey)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{
		{c.caFile, "CERTIFICATE", ca.cert.Raw},
		{c.clientCertFile, "CERTIFICATE", client.Certificate[0]},
		{c.clientKeyFile, "PRIVATE KEY", key},
	} {
		if err := os.WriteFile(f.name, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (t TLS) server(leaf tls.Certificate, pool *x509.CertPool) *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS10, MaxVersion: t.MaxVersion}
	if t.RequireClientCert {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pool
	}
	return c
}

func (t TLS) leaf() *x509.Certificate {
	leaf := template("origintest", x509.ExtKeyUsageServerAuth)
	hosts := t.Hosts
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1", "::1", "localhost", "origin.test"}
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	if !t.NotBefore.IsZero() {
		leaf.NotBefore = t.NotBefore
	}
	if !t.NotAfter.IsZero() {
		leaf.NotAfter = t.NotAfter
	}
	return leaf
}

func template(name string, use x509.ExtKeyUsage) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := template("origintest authority", x509.ExtKeyUsageAny)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	ca.NotBefore = ca.NotBefore.AddDate(-10, 0, 0) // so that an old leaf fails for its own dates
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

func (a *authority) issue(t *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// remove removes what the origin made for itself.
func (c *certificates) remove() {
	if c != nil && c.temporary != "" {
		os.RemoveAll(c.temporary)
	}
}
