package servers_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRulesOfTLS runs otad against OpenSSL's own server, which can be set up as
// no web server of today is. It answers with a page, which is no package: that
// error shows that the handshake was made.
func TestRulesOfTLS(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	const accepted = "DOWNLOAD_FAILED: HTTP 200 with a body of unknown length of text/html"
	const noVersion = "DOWNLOAD_FAILED: TLS broke in the TLS handshake: tls: protocol version not supported: the server has no version of TLS that is allowed (-tls-min)"
	const noCipher = "DOWNLOAD_FAILED: TLS broke in the TLS handshake: tls: handshake failure: the server may have only cipher suites that are refused: CBC, or a key exchange without ECDHE"
	const shortKey = "DOWNLOAD_FAILED: the server's certificate has an RSA key of 1024 bits, at least 2048 are required"
	for _, tt := range []struct {
		name   string
		bits   int      // of the server's key
		server []string // flags of the server
		otad   []string // flags of otad
		want   string
	}{
		{"1.2 with GCM", 2048, []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"}, nil, accepted},
		{"1.2 with ChaCha20", 2048, []string{"-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"}, nil, accepted},
		{"1.3 and -tls-min 1.3", 2048, []string{"-tls1_3"}, []string{"-tls-min", "1.3"}, accepted},
		{"1.2 and -tls-min 1.3", 2048, []string{"-tls1_2"}, []string{"-tls-min", "1.3"}, noVersion},
		{"1.1", 2048, []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, nil, noVersion},
		{"1.2 with CBC", 2048, []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA384"}, nil, noCipher},
		{"1.2 with RSA key exchange", 2048, []string{"-tls1_2", "-cipher", "AES128-GCM-SHA256"}, nil, noCipher},
		{"1.2 with finite fields", 2048, []string{"-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"}, nil, noCipher},
		{"RSA of 1024 bits, 1.2", 1024, []string{"-tls1_2", "-cipher", "ALL:@SECLEVEL=0"}, nil, shortKey},
		{"RSA of 1024 bits, 1.3", 1024, []string{"-tls1_3", "-cipher", "ALL:@SECLEVEL=0"}, nil, shortKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cert, key := selfSigned(t, dir, tt.bits)
			at := freeAddresses(t, "127.0.0.1", 1)
			s := &process{
				program: "openssl", listens: at, output: filepath.Join(dir, "output"),
				args: append([]string{"s_server", "-accept", at[0].String(), "-cert", cert, "-key", key, "-www", "-quiet"}, tt.server...),
			}
			s.start(t)
			j := newJob(t, "https://"+at[0].String()+"/u.bin", pkg{md5: strings.Repeat("0a", 16), size: 1}, append(tt.otad, "-ca-file", cert, "-retries", "0")...)
			j.wantFailed(t, j.run(t), 1, tt.want)
		})
	}
}

// selfSigned makes a certificate for 127.0.0.1 with an RSA key, and returns the
// two files.
func selfSigned(t *testing.T, dir string, bits int) (certFile, keyFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "otad test"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	check(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return certFile, keyFile
}
