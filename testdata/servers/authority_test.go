package servers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An authority is a CA of one test, which has signed a server and a client. The
// fields are PEM files.
type authority struct {
	CA, Cert, Key         string
	clientCert, clientKey string
	pool                  *x509.CertPool
}

// newAuthority signs a server of the given names and addresses.
func newAuthority(t *testing.T, names ...string) authority {
	t.Helper()
	dir := openDir(t)
	root := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, SerialNumber: big.NewInt(1),
	}
	key, cert := sign(t, root, nil, nil)
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, SerialNumber: big.NewInt(2),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, name)
		}
	}
	client := &x509.Certificate{
		Subject: pkix.Name{CommonName: "board"}, SerialNumber: big.NewInt(3),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	a := authority{pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	a.CA, _ = store(t, dir, "ca", key, cert)
	serverKey, serverCert := sign(t, server, key, cert)
	a.Cert, a.Key = store(t, dir, "server", serverKey, serverCert)
	clientKey, clientCert := sign(t, client, key, cert)
	a.clientCert, a.clientKey = store(t, dir, "client", clientKey, clientCert)
	return a
}

// sign makes a key and its certificate, signed by the issuer or, without one,
// by itself.
func sign(t *testing.T, template *x509.Certificate, issuerKey *ecdsa.PrivateKey, issuer *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	if issuer == nil {
		issuerKey, issuer = key, template
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return key, cert
}

func store(t *testing.T, dir, name string, key *ecdsa.PrivateKey, cert *x509.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Raw},
		keyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		check(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	}
	return certFile, keyFile
}
