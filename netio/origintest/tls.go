package origintest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLS configures an origin with https. Each origin has its own CA.
type TLS struct {
	// Hosts are the names and addresses in the certificate. Empty: 127.0.0.1,
	// ::1, localhost and origin.test.
	Hosts []string
	// NotBefore and NotAfter are those of the certificate. Zero: one day ago,
	// in ten years.
	NotBefore, NotAfter time.Time
	// RequireClientCert refuses clients without a certificate of the CA.
	RequireClientCert bool
	// MaxVersion is, for example, tls.VersionTLS11. 0: the newest.
	MaxVersion uint16
}

// certificates are those of an origin and its clients.
type certificates struct {
	server    *tls.Config
	pool      *x509.CertPool
	temporary string // directory that Close removes; empty: none

	caFile, clientCertFile, clientKeyFile string
}

// CAFile returns the path of a PEM file with the certificate of the CA. It
// panics without TLS, like CAPool and ClientFiles.
func (o *Origin) CAFile() string { return o.certs.caFile }

// CAPool returns a pool with the certificate of the CA.
func (o *Origin) CAPool() *x509.CertPool { return o.certs.pool }

// ClientFiles returns the paths of PEM files with a certificate and a key for a
// client, as [TLS].RequireClientCert requires.
func (o *Origin) ClientFiles() (cert, key string) {
	return o.certs.clientCertFile, o.certs.clientKeyFile
}

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertificates(t TLS, dir string) (_ *certificates, err error) {
	c := &certificates{pool: x509.NewCertPool()}
	defer func() {
		if err != nil {
			c.remove()
			err = fmt.Errorf("origintest: make certificates: %w", err)
		}
	}()
	if dir == "" {
		if dir, err = os.MkdirTemp("", "origintest-"); err != nil {
			return nil, err
		}
		c.temporary = dir
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	leaf, err := ca.issue(t.leaf())
	if err != nil {
		return nil, err
	}
	client, err := ca.issue(template("origintest client", x509.ExtKeyUsageClientAuth))
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(client.PrivateKey)
	if err != nil {
		return nil, err
	}
	c.pool.AddCert(ca.cert)
	c.server = t.server(leaf, c.pool)
	c.caFile = filepath.Join(dir, "ca.pem")
	c.clientCertFile = filepath.Join(dir, "client.pem")
	c.clientKeyFile = filepath.Join(dir, "client.key")
	return c, errors.Join(
		writePEM(c.caFile, "CERTIFICATE", ca.cert.Raw),
		writePEM(c.clientCertFile, "CERTIFICATE", client.Certificate[0]),
		writePEM(c.clientKeyFile, "PRIVATE KEY", key),
	)
}

func writePEM(name, kind string, der []byte) error {
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func (t TLS) server(leaf tls.Certificate, pool *x509.CertPool) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{leaf},
		MinVersion:   tls.VersionTLS10, MaxVersion: t.MaxVersion,
	}
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
	// Ten years older: an expired leaf must fail for its own dates only.
	ca.NotBefore = ca.NotBefore.AddDate(-10, 0, 0)
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

// remove deletes the temporary directory, if there is one.
func (c *certificates) remove() {
	if c != nil && c.temporary != "" {
		os.RemoveAll(c.temporary)
	}
}
