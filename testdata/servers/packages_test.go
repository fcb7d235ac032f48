package servers_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

const (
	interval = 1 << 20 // otad's default checkpoint interval in bytes
	middle   = 6 << 20 // where a download is disturbed
	// The rest of a package after the middle must not fit into the buffers of
	// sockets, or otad would not notice that the server is gone.
	packageSize = 24<<20 + 12345
)

// A pkg is a file that an origin can have.
type pkg struct {
	path string
	size int64
	md5  string
}

// packages are the packages of all trials.
type packages struct {
	first    pkg // served at the beginning
	next     pkg // of the same size
	shorter  pkg
	sameTime pkg // of the same size and modification time as first
}

func newPackages(t *testing.T) packages {
	dir := openDir(t)
	begun := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return packages{
		first:    newPackage(t, filepath.Join(dir, "first"), packageSize, begun),
		next:     newPackage(t, filepath.Join(dir, "next"), packageSize, begun.Add(time.Hour)),
		shorter:  newPackage(t, filepath.Join(dir, "shorter"), packageSize-4<<20, begun.Add(2*time.Hour)),
		sameTime: newPackage(t, filepath.Join(dir, "sameTime"), packageSize, begun),
	}
}

// newPackage writes a package, the same in each run.
func newPackage(t *testing.T, path string, size int64, modified time.Time) pkg {
	t.Helper()
	sum, err := otadrun.WritePackage(path, size, filepath.Base(path))
	check(t, err)
	check(t, os.Chtimes(path, modified, modified))
	return pkg{path: path, size: size, md5: sum}
}

// openDir is a directory that a server under another user can read.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "otad-servers-")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	return dir
}
