// Package slots tests with real processes that a package goes straight to a
// device: a plain file that stands for one and, as root, loop devices with blocks
// of 512 and of 4096 bytes and real file systems on them.
//
//	go test ./testdata/slots
package slots

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// binary is the otad under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(otadrun.WithBinary(&binary, m.Run))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	mib      = 1 << 20
	interval = mib
)

// board is a device with an earlier content, a state directory and an origin.
type board struct {
	t      *testing.T
	dir    string // state directory
	device string
	image  []byte
	origin *origintest.Origin
	md5    string
}

// newBoard serves the image. The link is slow enough for a kill in the middle.
func newBoard(t *testing.T, device string, image []byte) *board {
	t.Helper()
	object := origintest.Object{Bytes: image, ETag: `"1"`, LastModified: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}
	origin := origintest.NewConfig(t, origintest.Config{Object: object, Link: origintest.Link{BytesPerSecond: 24 * mib}})
	return &board{t: t, dir: t.TempDir(), device: device, image: image, origin: origin, md5: object.MD5()}
}

// newPlainFile returns the path of a file full of an earlier content.
func newPlainFile(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slot")
	_, err := otadrun.WritePackage(path, size, "old")
	check(t, err)
	return path
}

func noise(t *testing.T, size int64, seed string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "noise")
	_, err := otadrun.WritePackage(path, size, seed)
	check(t, err)
	b, err := os.ReadFile(path)
	check(t, err)
	return b
}

// args are those of a fetch to the device.
func (b *board) args(flags ...string) []string {
	return otadrun.FetchArgs(b.dir, b.md5, b.origin.URLFor("/u.img"),
		append([]string{"-output", b.device, "-min-free", "0", "-checkpoint-interval", "0"}, flags...)...)
}

// fetch runs a fetch to its end.
func (b *board) fetch(flags ...string) otadrun.Result {
	b.t.Helper()
	return start(b.t, b.args(flags...)...).Wait()
}

// ready runs a fetch that has to end with 0 and the path of the device.
func (b *board) ready(flags ...string) {
	b.t.Helper()
	r := b.fetch(flags...)
	if r.Code != 0 || r.Stdout != b.device+"\n" {
		b.t.Fatalf("fetch ended with %d, %q: %s", r.Code, r.Stdout, r.LastLine())
	}
	if !b.isWhole() {
		b.t.Fatal("the device does not hold the package")
	}
}

// killed runs a fetch and kills it when the origin has served n bytes in one
// answer, the request-th.
func (b *board) killed(request int, n int64) {
	b.t.Helper()
	p := start(b.t, b.args()...)
	check(b.t, otadrun.Await(30*time.Second, fmt.Sprintf("request %d comes to %d bytes", request, n), func() (bool, error) {
		seen := b.origin.Requests()
		return len(seen) >= request && seen[request-1].BodyBytes > n, nil
	}))
	p.Kill()
}

func start(t *testing.T, args ...string) *otadrun.Process {
	t.Helper()
	p, err := otadrun.Start(otadrun.Command(binary, args...))
	check(t, err)
	t.Cleanup(func() { p.Kill() })
	return p
}

// read returns the first n bytes of the device.
func (b *board) read(n int) []byte {
	b.t.Helper()
	f, err := os.Open(b.device)
	check(b.t, err)
	defer f.Close()
	content := make([]byte, n)
	if _, err := f.ReadAt(content, 0); err != nil {
		b.t.Fatal(err)
	}
	return content
}

func (b *board) isWhole() bool { return bytes.Equal(b.read(len(b.image)), b.image) }

// hasHead reports whether the first MiB is anything but zeros.
func (b *board) hasHead() bool { return !bytes.Equal(b.read(mib), make([]byte, mib)) }
