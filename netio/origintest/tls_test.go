package origintest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"otad/netio/origintest"
)

// fetch requests bytes 400- with net/http and returns the body.
func fetch(t *testing.T, o *origintest.Origin, config *tls.Config) (string, error) {
	t.Helper()
	transport := &http.Transport{DialContext: o.Dial, TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=400-")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestTLSWithTheCA(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, config origintest.Config) {
		config.Object, config.TLS = object, &origintest.TLS{}
		o := origintest.NewConfig(t, config)
		fromFile := x509.NewCertPool()
		if pem, err := os.ReadFile(o.CAFile()); err != nil || !fromFile.AppendCertsFromPEM(pem) {
			t.Fatalf("CA file: %v", err)
		}
		for name, pool := range map[string]*x509.CertPool{"pool": o.CAPool(), "file": fromFile} {
			if got, err := fetch(t, o, &tls.Config{RootCAs: pool}); err != nil || got != part(object, 400, 1000) {
				t.Errorf("%s: %d bytes, %v; want the range", name, len(got), err)
			}
		}
		var unknown x509.UnknownAuthorityError
		if _, err := fetch(t, o, &tls.Config{RootCAs: x509.NewCertPool()}); !errors.As(err, &unknown) {
			t.Errorf("without the CA: %v, want an UnknownAuthorityError", err)
		}
	})
}

func TestTLSWithAWrongCertificate(t *testing.T) {
	expired := func(err error) bool {
		var invalid x509.CertificateInvalidError
		return errors.As(err, &invalid) && invalid.Reason == x509.Expired
	}
	now := time.Now()
	for name, tt := range map[string]struct {
		config origintest.TLS
		wrong  func(error) bool
	}{
		"host": {origintest.TLS{Hosts: []string{"elsewhere.test"}}, func(err error) bool {
			return errors.As(err, new(x509.HostnameError))
		}},
		"expired":       {origintest.TLS{NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, -1, 0)}, expired},
		"not yet valid": {origintest.TLS{NotBefore: now.AddDate(0, 1, 0)}, expired},
		"version":       {origintest.TLS{MaxVersion: tls.VersionTLS11}, func(err error) bool { return err != nil }},
	} {
		o := origintest.NewConfig(t, origintest.Config{Object: object, TLS: &tt.config})
		if _, err := fetch(t, o, &tls.Config{RootCAs: o.CAPool()}); !tt.wrong(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTLSClientCertificate(t *testing.T) {
	o := origintest.NewConfig(t, origintest.Config{Object: object, TLS: &origintest.TLS{RequireClientCert: true}})
	if _, err := fetch(t, o, &tls.Config{RootCAs: o.CAPool()}); err == nil {
		t.Error("a client without certificate got a response")
	}
	cert, err := tls.LoadX509KeyPair(o.ClientFiles())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fetch(t, o, &tls.Config{RootCAs: o.CAPool(), Certificates: []tls.Certificate{cert}}); err != nil || len(got) != 600 {
		t.Errorf("with the certificate: %d bytes, %v", len(got), err)
	}
}

func TestTLSInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := origintest.NewConfig(t, origintest.Config{
			Object: object, InMemory: true, TLS: &origintest.TLS{},
			Script: []*origintest.Rule{always().HeaderDelay(time.Hour)},
		})
		begin := time.Now()
		got, err := fetch(t, o, &tls.Config{RootCAs: o.CAPool()})
		if err != nil || got != part(object, 400, 1000) || time.Since(begin) != time.Hour {
			t.Errorf("%d bytes, %v after %v; want the range after an hour", len(got), err, time.Since(begin))
		}
	})
}

func TestTLSConnectionsAreCut(t *testing.T) {
	o := origintest.NewConfig(t, origintest.Config{
		Object: object, TLS: &origintest.TLS{}, Script: []*origintest.Rule{on(1).FinAt(500), on(2).UntilClose()},
	})
	if got, err := fetch(t, o, &tls.Config{RootCAs: o.CAPool()}); len(got) != 100 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %d bytes, %v; want 100 and an unexpected end", len(got), err)
	}
	if got, err := fetch(t, o, &tls.Config{RootCAs: o.CAPool()}); len(got) != 600 || err != nil {
		t.Errorf("whole: %d bytes, %v; want 600", len(got), err)
	}
}

func TestCloseRemovesTheTemporaryDirectory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	o, err := origintest.Start(origintest.Config{TLS: &origintest.TLS{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.CAFile()); err != nil {
		t.Error(err)
	}
	o.Close()
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}
