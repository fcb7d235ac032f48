// Package servers_test runs the real otad against the servers that packages
// come from: nginx, lighttpd, Apache, Caddy, an S3 store with real signatures,
// and through an HTTP proxy. Each server runs on loopback with a configuration
// from conf/, and is ended by its pid.
//
//	make test-servers
//
// The log ends with a table of the behaviour of each server.
package servers_test

import (
	"log"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// otadVariable names the binary under test; without it that is ../../bin/otad.
// It does not begin with OTAD_, where otad would look for a flag.
const otadVariable = "SERVERS_OTAD"

func TestMain(m *testing.M) {
	if _, err := otadPath(); err != nil {
		log.Fatalf("no otad to test, build it with `make bin/otad`: %v", err)
	}
	os.Exit(m.Run())
}

func otadPath() (string, error) {
	path := os.Getenv(otadVariable)
	if path == "" {
		path = "../../bin/otad"
	}
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// A trial is the environment of one test of one behaviour.
type trial struct {
	origin   origin
	packages packages
	folder   string // of the package of this trial alone
	seen     *column
}

// everywhere are the tests of each origin.
var everywhere = []struct {
	name string
	try  func(*testing.T, trial)
}{
	{"plain", fetchesInOneRequest},
	{"range", goesOnAfterSIGKILL},
	{"replaced by the same size", func(t *testing.T, r trial) { startsOverWhenReplaced(t, r, r.packages.next) }},
	{"replaced by another size", func(t *testing.T, r trial) { startsOverWhenReplaced(t, r, r.packages.shorter) }},
	{"replaced by the same size and time", neverMixesSameSizeAndTime},
	{"answers", answersProbes},
}

// A fileTrial is a test of a server of plain files.
type fileTrial struct {
	name string
	try  func(*testing.T, trial, *fileOrigin)
}

// onFiles are the tests of each server of plain files.
var onFiles = []fileTrial{
	{"own CA", trustsOnlyTheOwnCA},
	{"client certificate", showsTheClientCertificate},
	{"gzip switched on", isNotCompressed},
	{"no ranges", dropsThePrefixWithoutRanges},
	{"scheme of another port", namesTheScheme},
}

// onProduct are the tests of one product.
var onProduct = map[string][]fileTrial{
	"nginx": {
		{"no ETag after a restart", survivesALostETag},
		{"stored gzip", takesAStoredGzip},
		{"no ranges, no ETag", keepsTheBytesUntilTheWholeIsStored},
		{"portal page", survivesAPortal},
		{"credentials", keepsCredentialsToTheOrigin},
	},
	"Apache": {
		{"no ETag after a restart", survivesALostETag},
		{"stored gzip", takesAStoredGzip},
	},
}

func TestServers(t *testing.T) {
	packages, table := newPackages(t), new(table)
	t.Run("behind", func(t *testing.T) {
		for _, p := range products {
			seen := table.add(p.name)
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				o := newFileOrigin(t, p, "127.0.0.1")
				seen.note("version", o.release(t))
				tryEverywhere(t, o, packages, seen)
				for _, c := range append(slices.Clip(onFiles), onProduct[p.name]...) {
					t.Run(c.name, func(t *testing.T) { c.try(t, trial{o, packages, folder(t), seen}, o) })
				}
			})
		}
		seen := table.add("versitygw, TLS")
		t.Run("versitygw", func(t *testing.T) {
			t.Parallel()
			o := newS3Origin(t)
			seen.note("version", o.release(t))
			tryEverywhere(t, o, packages, seen)
			for _, c := range onS3 {
				t.Run(c.name, func(t *testing.T) { c.try(t, trial{o, packages, folder(t), seen}, o) })
			}
		})
		proxied := table.add("nginx through tinyproxy")
		t.Run("tinyproxy", func(t *testing.T) {
			t.Parallel()
			throughProxy(t, packages, proxied)
		})
	})
	t.Logf("what was seen:\n\n%s", table)
}

func tryEverywhere(t *testing.T, o origin, packages packages, seen *column) {
	for _, c := range everywhere {
		t.Run(c.name, func(t *testing.T) { c.try(t, trial{o, packages, folder(t), seen}) })
	}
	t.Run("restarted", func(t *testing.T) { outlivesRestart(t, trial{o, packages, folder(t), seen}, o.process()) })
}
