// Package certs makes certificates for the servers that the rigs start.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a CA that has signed the certificates of a server and of a client.
// All fields but Pool are paths of PEM files.
type Authority struct {
	CA, Cert, Key         string
	ClientCert, ClientKey string
	Pool                  *x509.CertPool // holds the CA
}

// New makes a CA in dir, with a server of the given names and IP addresses.
func New(dir string, names ...string) (Authority, error) {
	ca := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	server := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	client := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, name)
		}
	}
	a := Authority{Pool: x509.NewCertPool()}
	var caErr, serverErr, clientErr error
	var key *ecdsa.PrivateKey
	if a.CA, _, key, caErr = sign(dir, "ca", ca, ca, nil); caErr != nil {
		return a, caErr
	}
	a.Cert, a.Key, _, serverErr = sign(dir, "server", server, ca, key)
	a.ClientCert, a.ClientKey, _, clientErr = sign(dir, "client", client, ca, key)
	pemCA, err := os.ReadFile(a.CA)
	a.Pool.AppendCertsFromPEM(pemCA)
	return a, errors.Join(serverErr, clientErr, err)
}

// sign writes a certificate and its key to files. Without the key of the issuer
// the certificate is self-signed.
func sign(dir, name string, c, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (cert, keyFile string, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return "", "", nil, err
	}
	if issuerKey == nil {
		issuerKey = key
	}
	c.Subject, c.SerialNumber = pkix.Name{CommonName: "otad test " + name}, big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return "", "", nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", nil, err
	}
	cert, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	return cert, keyFile, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}
