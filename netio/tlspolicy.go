package netio

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// leastRSA is in bits (NIST SP 800-131A, CA/Browser Forum Baseline Requirements
// 6.1.5).
const leastRSA = 2048

// TLSConfig returns the rules for all of otad's connections: TLS of least or
// later, 0 for 1.2; ephemeral keys, AES-GCM or ChaCha20, no CBC and no RSA key
// exchange (RFC 9325 §4.2); certificates with RSA keys of 2048 bits or more. The
// caller may add to it.
func TLSConfig(least uint16) *tls.Config {
	return &tls.Config{
		MinVersion: max(least, tls.VersionTLS12),
		CipherSuites: []uint16{ // of 1.2; those of 1.3 are all allowed
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		VerifyConnection: checkKeys,
	}
}

// weakKeyError is the error for a certificate with too short a key.
type weakKeyError struct {
	bits   int
	signer bool // the certificate is not the server's, but has signed it
}

// Error returns one line.
func (e *weakKeyError) Error() string {
	whose := "the server's certificate has"
	if e.signer {
		whose = "one that signed the server's certificate has"
	}
	return fmt.Sprintf("%s an RSA key of %d bits, at least %d are required", whose, e.bits, leastRSA)
}

// checkKeys returns nil if all keys of one verified chain, that of the CA
// included, are long enough.
func checkKeys(s tls.ConnectionState) error {
	var first error
	for _, chain := range s.VerifiedChains {
		err := checkChain(chain)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func checkChain(chain []*x509.Certificate) error {
	for i, c := range chain {
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < leastRSA {
			return &weakKeyError{key.N.BitLen(), i > 0}
		}
	}
	return nil
}
