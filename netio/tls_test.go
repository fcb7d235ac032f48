package netio_test

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"otad/netio"
)

// authority is a CA that issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().AddDate(-2, 0, 0),
		NotAfter: time.Now().AddDate(2, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// issue returns a certificate for host. It is valid from and until so many days
// from now.
func (a *authority) issue(t *testing.T, serial int64, host string, from, until int) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().AddDate(0, 0, from), NotAfter: time.Now().AddDate(0, 0, until),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if host != "" {
		template.DNSNames = []string{host}
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// pool returns a pool with only a.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// chain returns a certificate for 127.0.0.1 whose RSA keys have so many bits: its
// own, that of an intermediate CA, and that of the CA. 0: ECDSA. caFile trusts the
// CA.
func chain(t *testing.T, leaf, intermediate, root int) (c tls.Certificate, caFile string) {
	t.Helper()
	authority := func(serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("CA ", serial)}, NotBefore: time.Now().AddDate(0, 0, -1),
			NotAfter: time.Now().AddDate(0, 0, 1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	server := authority(3)
	server.IsCA, server.KeyUsage, server.IPAddresses = false, x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment, []net.IP{{127, 0, 0, 1}}
	var signer *x509.Certificate
	var signerKey crypto.Signer
	for i, cert := range []*x509.Certificate{authority(1), authority(2), server} {
		key := signerOf(t, []int{root, intermediate, leaf}[i])
		if signer == nil {
			signer, signerKey = cert, key
		}
		der, err := x509.CreateCertificate(rand.Reader, cert, signer, key.Public(), signerKey)
		if err != nil {
			t.Fatal(err)
		}
		if signer, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		signerKey = key
		if i == 0 {
			caFile = filepath.Join(t.TempDir(), "ca.pem")
			writePEM(t, caFile, "CERTIFICATE", der)
		} else {
			c.Certificate = append([][]byte{der}, c.Certificate...)
		}
		c.PrivateKey = key
	}
	return c, caFile
}

func signerOf(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	if bits == 0 {
		return newKey(t)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writePair writes c to the two files.
func writePair(t *testing.T, c tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", c.Certificate[0])
	writePEM(t, keyFile, "PRIVATE KEY", key)
}

// serveTLS returns the URL of an https server on 127.0.0.1.
func serveTLS(t *testing.T, c *tls.Config, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = c
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "/u.bin"
}

func serveObject(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(object))
}

func TestValidCertificate(t *testing.T) {
	ca := newAuthority(t)
	protocol := make(chan string, 1)
	u := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)}}, func(w http.ResponseWriter, r *http.Request) {
		protocol <- r.Proto
		serveObject(w, r)
	})
	got, err := fetch(t, newFetcher(t, netio.Config{CAFile: ca.file}), netio.Request{URL: u, Offset: 4, Size: 10})
	if err != nil || string(got) != object[4:] {
		t.Errorf("got %q, %v", got, err)
	}
	if p := <-protocol; p != "HTTP/1.1" {
		t.Errorf("used %s with a server that supports HTTP/2", p)
	}
}

func TestInvalidCertificate(t *testing.T) {
	ca := newAuthority(t)
	past := func() time.Time { return time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC) }
	tests := []struct {
		name   string
		cert   tls.Certificate
		config netio.Config
		detail string
		kind   netio.Kind
	}{
		{"unknown authority", newAuthority(t).issue(t, 2, "127.0.0.1", -1, 1), netio.Config{}, "unknown authority", netio.Transient},
		{"another host", ca.issue(t, 2, "origin.example", -1, 1), netio.Config{}, "another host", netio.Transient},
		{"no SAN", ca.issue(t, 2, "", -1, 1), netio.Config{}, "has no SAN", netio.Transient},
		{"expired", ca.issue(t, 2, "127.0.0.1", -2, -1), netio.Config{}, "expired or not yet valid", netio.Transient},
		{"not yet valid", ca.issue(t, 2, "127.0.0.1", 1, 2), netio.Config{}, "expired or not yet valid", netio.Transient},
		{"clock before the build time", ca.issue(t, 2, "127.0.0.1", -1, 1), netio.Config{Now: past}, "expired or not yet valid", netio.NoClock},
		{"unknown authority, clock before the build time", newAuthority(t).issue(t, 2, "127.0.0.1", -1, 1), netio.Config{Now: past}, "", netio.NoClock},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{tt.cert}}, serveObject)
			tt.config.CAFile = ca.file
			tt.config.BuildTime = time.Now().AddDate(0, -1, 0)
			_, err := newFetcher(t, tt.config).Open(t.Context(), netio.Request{URL: u})
			e := wantError(t, err, tt.kind, netio.ReasonTLS)
			if !strings.Contains(e.Detail, tt.detail) || strings.Contains(e.Detail, "clock") != (tt.kind == netio.NoClock) {
				t.Errorf("detail %q, want %q", e.Detail, tt.detail)
			}
			var cause *tls.CertificateVerificationError
			if !errors.As(err, &cause) {
				t.Errorf("%v does not wrap its cause", err)
			}
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	ca := newAuthority(t)
	u := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
	}, serveObject)
	_, err := newFetcher(t, netio.Config{CAFile: ca.file}).Open(t.Context(), netio.Request{URL: u})
	wantError(t, err, netio.Transient, netio.ReasonTLS)
}

func TestShortRSAKeysAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		leaf, intermediate, root int
		detail                   string // empty: accepted
	}{
		{"2048 bits", 2048, 2048, 2048, ""},
		{"ECDSA", 0, 0, 0, ""},
		{"3072 bits under ECDSA", 3072, 0, 0, ""},
		{"the server's", 1024, 2048, 2048, "the server's certificate has an RSA key of 1024 bits, at least 2048 are required ("},
		{"the server's under ECDSA", 2047, 0, 0, "the server's certificate has an RSA key of 2047 bits"},
		{"the intermediate's", 0, 1024, 2048, "one that signed the server's certificate has an RSA key of 1024 bits"},
		{"the CA's", 2048, 2048, 1024, "one that signed the server's certificate has an RSA key of 1024 bits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, caFile := chain(t, tt.leaf, tt.intermediate, tt.root)
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				u := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{c}, MaxVersion: version}, serveObject)
				got, err := fetch(t, newFetcher(t, netio.Config{CAFile: caFile}), netio.Request{URL: u})
				if tt.detail == "" {
					if err != nil || string(got) != object {
						t.Errorf("%q, %v", got, err)
					}
					continue
				}
				if e := wantError(t, err, netio.Transient, netio.ReasonTLS); !strings.HasPrefix(e.Detail, tt.detail) {
					t.Errorf("%q", e.Detail)
				}
			}
		})
	}
}

// TestAnotherChainWithLongKeysIsEnough checks an intermediate CA that is trusted
// by itself too: the chain with the short key is not the only one.
func TestAnotherChainWithLongKeysIsEnough(t *testing.T) {
	c, weakFile := chain(t, 2048, 2048, 1024)
	intermediate, err := x509.ParseCertificate(c.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	weak, err := os.ReadFile(weakFile)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "both.pem")
	u := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{c}}, serveObject)
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: intermediate.Raw}) // trusted by itself
	if err := os.WriteFile(file, append(weak, own...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t, newFetcher(t, netio.Config{CAFile: file}), netio.Request{URL: u}); err != nil {
		t.Error(err)
	}
}

func TestRefusedVersionsAndCipherSuites(t *testing.T) {
	rsaCert, rsaCA := chain(t, 2048, 0, 0)
	ecCert, ecCA := chain(t, 0, 0, 0)
	const noVersion = ": the server has no version of TLS that is allowed (-tls-min) ("
	const noCipher = "tls: handshake failure: the server may have only cipher suites that are refused: CBC, or a key exchange without ECDHE ("
	for _, tt := range []struct {
		name     string
		ec       bool
		from, to uint16 // versions of the server
		suites   []uint16
		least    uint16
		detail   string // empty: accepted
	}{
		{"1.2", false, 0, tls.VersionTLS12, nil, 0, ""},
		{"1.3", false, tls.VersionTLS13, 0, nil, 0, ""},
		{"1.2, which -tls-min allows", false, 0, tls.VersionTLS12, nil, tls.VersionTLS12, ""},
		{"1.3 and -tls-min 1.3", false, 0, 0, nil, tls.VersionTLS13, ""},
		{"1.2 and -tls-min 1.3", false, 0, tls.VersionTLS12, nil, tls.VersionTLS13, noVersion},
		{"1.1", false, tls.VersionTLS10, tls.VersionTLS11, nil, 0, noVersion},
		{"1.1, although less is allowed", false, tls.VersionTLS10, tls.VersionTLS11, nil, tls.VersionTLS10, noVersion},
		{"GCM", false, 0, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}, 0, ""},
		{"ChaCha20", true, 0, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}, 0, ""},
		{"CBC", false, 0, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA}, 0, noCipher},
		{"CBC with ECDSA", true, 0, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}, 0, noCipher},
		{"3DES", false, 0, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}, 0, noCipher},
		{"RSA key exchange", false, 0, tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384}, 0, noCipher},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GODEBUG", "tlsrsakex=1,tls3des=1") // brings back what Go leaves out by itself
			c, caFile := rsaCert, rsaCA
			if tt.ec {
				c, caFile = ecCert, ecCA
			}
			u := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tt.from, MaxVersion: tt.to, CipherSuites: tt.suites}, serveObject)
			got, err := fetch(t, newFetcher(t, netio.Config{CAFile: caFile, TLSMin: tt.least}), netio.Request{URL: u})
			if tt.detail == "" {
				if err != nil || string(got) != object {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if e := wantError(t, err, netio.Transient, netio.ReasonTLS); !strings.Contains(e.Detail, tt.detail) {
				t.Errorf("%q", e.Detail)
			}
		})
	}
}

func TestWhatAServerSaysOfTheClientCertificate(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	const required, refused = ": the server requires a client certificate (-client-cert) (", ": the server does not accept the client certificate ("
	u := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
		MaxVersion: tls.VersionTLS12, // with 1.3, the alert can be lost
	}, serveObject)
	foreign := certificateFiles(t, stranger)
	foreign.CAFile = ca.file
	elsewhere := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)}}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, u, http.StatusFound)
	})
	for _, tt := range []struct {
		url    string
		config netio.Config
		want   string
	}{
		{u, netio.Config{CAFile: ca.file}, required},
		{u, foreign, refused},
		{elsewhere, certificateFiles(t, ca), ": the server requires a client certificate, which only the host of the job's URL is shown ("},
	} {
		_, err := fetch(t, newFetcher(t, tt.config), netio.Request{URL: tt.url})
		if e := wantError(t, err, netio.Transient, netio.ReasonTLS); !strings.Contains(e.Detail, tt.want) {
			t.Errorf("%q, want %q", e.Detail, tt.want)
		}
	}
}

func TestAConnectionLostAfterARequestForACertificate(t *testing.T) {
	ca := newAuthority(t)
	for auth, want := range map[tls.ClientAuthType]string{
		tls.NoClientCert:      "connection lost before the answer (",
		tls.RequestClientCert: "connection lost before the answer: the server has requested a client certificate (",
	} {
		u := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)}, ClientAuth: auth}, func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		})
		_, err := fetch(t, newFetcher(t, netio.Config{CAFile: ca.file}), netio.Request{URL: u})
		if e := wantError(t, err, netio.Transient, netio.ReasonReset); !strings.HasPrefix(e.Detail, want) {
			t.Errorf("%q, want %q", e.Detail, want)
		}
	}
}

func TestRedirectAwayFromHTTPSIsRefused(t *testing.T) {
	ca := newAuthority(t)
	u := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)}}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://127.0.0.1:1/u.bin")
		w.WriteHeader(http.StatusFound)
	})
	_, err := newFetcher(t, netio.Config{CAFile: ca.file, AllowHTTP: true}).Open(t.Context(), netio.Request{URL: u})
	if e := wantError(t, err, netio.Permanent, ""); !strings.Contains(e.Detail, `redirect from https to "http"`) {
		t.Errorf("detail %q", e.Detail)
	}
}

func TestDamagedRecordIsTransient(t *testing.T) {
	ca := newAuthority(t)
	c := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)}}
	u := listen(t, "https", func(conn *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(tls.Server(conn, c))); err == nil {
			conn.Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...)) // application data under no key
			io.Copy(io.Discard, conn)
		}
	})
	_, err := newFetcher(t, netio.Config{CAFile: ca.file}).Open(t.Context(), netio.Request{URL: u})
	wantError(t, err, netio.Transient, netio.ReasonTLS)
}

func TestClientCertificateIsReadAtEachConnection(t *testing.T) {
	ca := newAuthority(t)
	var serials []int64
	u := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
		MaxVersion: tls.VersionTLS12, // with 1.3, a refusal comes after the handshake
	}, func(w http.ResponseWriter, r *http.Request) {
		serials = append(serials, r.TLS.PeerCertificates[0].SerialNumber.Int64())
		serveObject(w, r)
	})
	dir := t.TempDir()
	c := netio.Config{CAFile: ca.file, ClientCert: filepath.Join(dir, "cert.pem"), ClientKey: filepath.Join(dir, "key.pem")}
	f := newFetcher(t, c)

	_, err := f.Open(t.Context(), netio.Request{URL: u})
	got := wantError(t, err, netio.Transient, netio.ReasonTLS)
	if !strings.HasPrefix(got.Detail, "client certificate: ") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without files: %v", err)
	}
	for _, serial := range []int64{7, 8} {
		writePair(t, ca.issue(t, serial, "board", -1, 1), c.ClientCert, c.ClientKey)
		if _, err := fetch(t, f, netio.Request{URL: u}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(serials, []int64{7, 8}) {
		t.Errorf("the server received certificates %v, want 7 and 8", serials)
	}
	_, err = newFetcher(t, netio.Config{CAFile: ca.file}).Open(t.Context(), netio.Request{URL: u})
	if got := wantError(t, err, netio.Transient, netio.ReasonTLS); !strings.HasPrefix(got.Detail, "TLS broke in the TLS handshake: tls: handshake failure: the server requires a client certificate (-client-cert) (") {
		t.Errorf("without a certificate: detail %q, want the server's alert in it", got.Detail)
	}
}

func TestNewWithUnusableFiles(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	tests := []struct {
		name   string
		config netio.Config
		want   string
	}{
		{"no CA file", netio.Config{CAFile: missing}, missing},
		{"CA file without certificates", netio.Config{CAFile: empty}, empty + " holds no certificate"},
		{"certificate without key", netio.Config{ClientCert: empty}, "client certificate"},
		{"key without certificate", netio.Config{ClientKey: empty}, "client certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := netio.New(tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to name %q", err, tt.want)
			}
		})
	}
}

// TestRootsAreReadAgain checks that CA certificates which are installed or
// renewed while the program runs are used, and how the lack of any is named.
func TestRootsAreReadAgain(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	pem := func(a *authority) []byte {
		text, err := os.ReadFile(a.file)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const empty = "this system has no CA certificates: install ca-certificates or set -ca-file ("
	const unknown = "the server's certificate is signed by an unknown authority ("
	u := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, 2, "127.0.0.1", -1, 1)}}, serveObject)
	open := func(t *testing.T, f *netio.Fetcher, want string) {
		t.Helper()
		_, err := fetch(t, f, netio.Request{URL: u})
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			return
		}
		if e := wantError(t, err, netio.Transient, netio.ReasonTLS); !strings.HasPrefix(e.Detail, want) {
			t.Errorf("%q, want %q", e.Detail, want)
		}
	}
	t.Run("bundle", func(t *testing.T) {
		bundle := filepath.Join(t.TempDir(), "bundle.pem")
		t.Setenv("SSL_CERT_FILE", bundle)
		t.Setenv("SSL_CERT_DIR", t.TempDir())
		f := newFetcher(t, netio.Config{})
		open(t, f, empty)
		write(bundle, pem(stranger))
		open(t, f, unknown)
		write(bundle, append(pem(stranger), pem(ca)...))
		open(t, f, "")
		write(bundle, nil)
		open(t, f, "") // no failure, so not read again
		open(t, newFetcher(t, netio.Config{}), empty)
	})
	t.Run("directory", func(t *testing.T) {
		dir, source := t.TempDir(), t.TempDir()
		t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "none.pem"))
		t.Setenv("SSL_CERT_DIR", t.TempDir()+":"+dir)
		f := newFetcher(t, netio.Config{})
		write(filepath.Join(dir, "README"), []byte("no certificate"))
		open(t, f, empty)
		write(filepath.Join(source, "ca.crt"), pem(ca))
		for link, target := range map[string]string{"ca.pem": filepath.Join(source, "ca.crt"), "0a1b2c3d.0": "ca.pem"} {
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		open(t, f, "")
	})
	t.Run("CA file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ca.pem")
		write(file, pem(stranger))
		f := newFetcher(t, netio.Config{CAFile: file})
		open(t, f, unknown)
		write(file, []byte("half"))
		open(t, f, unknown)
		write(file, pem(ca))
		open(t, f, "")
		f = newFetcher(t, netio.Config{CAFile: file})
		open(t, f, "")
	})
}

func BenchmarkSystemRoots(b *testing.B) {
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var pool any
	for b.Loop() {
		pool = netio.SystemRoots()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)), "B-kept")
	runtime.KeepAlive(pool)
}
