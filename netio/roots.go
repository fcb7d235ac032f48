package netio

import (
	"crypto/x509"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// The places of the system's CA certificates are those of package x509. That
// package reads them once per process; here they are read again, because a
// board may get new ones, or its first ones, while the program runs.
var (
	caBundles = []string{ // the first one that can be read
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem",
	}
	caDirs = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"} // all of them
)

const noRoots = "this system has no CA certificates: install ca-certificates or set -ca-file"

// systemRoots reads the CA certificates of the system.
func systemRoots() *x509.CertPool {
	files, dirs := caBundles, caDirs
	if name := os.Getenv("SSL_CERT_FILE"); name != "" {
		files = []string{name}
	}
	if names := os.Getenv("SSL_CERT_DIR"); names != "" {
		dirs = strings.Split(names, ":")
	}
	pool, bundle := x509.NewCertPool(), ""
	for _, bundle = range files {
		if pem, err := os.ReadFile(bundle); err == nil {
			pool.AppendCertsFromPEM(pem)
			break
		}
	}
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir) // without one there are no certificates in it
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if name == bundle || isLinkWithin(dir, e) {
				continue
			}
			if pem, err := os.ReadFile(name); err == nil {
				pool.AppendCertsFromPEM(pem)
			}
		}
	}
	return pool
}

// isLinkWithin reports whether e is another name, such as a hash, of a file of
// the same directory.
func isLinkWithin(dir string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return false
	}
	target, err := os.Readlink(filepath.Join(dir, e.Name()))
	return err == nil && !strings.Contains(target, "/")
}

// transportFor returns the transport. For https it reads the CA certificates if
// they have not been read, or a certificate was refused since: that may be
// repaired by now.
func (f *Fetcher) transportFor(scheme string) *http.Transport {
	f.mu.Lock()
	defer f.mu.Unlock()
	if scheme == "https" && f.roots == nil {
		f.roots = f.readRoots()
		f.transport = f.transport.Clone() // its requests may still be running
		f.transport.TLSClientConfig.RootCAs = f.roots
	}
	return f.transport
}

// readRoots reads the CA certificates. A CA file that cannot be read any more
// leaves those that it had.
func (f *Fetcher) readRoots() *x509.CertPool {
	if f.cfg.CAFile == "" {
		return systemRoots()
	}
	pool, err := readCAs(f.cfg.CAFile)
	if err != nil {
		return f.transport.TLSClientConfig.RootCAs
	}
	return pool
}

// dropRoots makes the next Open read the CA certificates again. It reports
// whether there were any.
func (f *Fetcher) dropRoots() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	empty := f.roots != nil && f.roots.Equal(x509.NewCertPool())
	f.roots = nil
	return !empty
}
