// Package signatures_test has Debian's minisign and signify-openbsd make keys and
// signatures, and a real otad judge them.
//
//	make test-board
package signatures_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

const patience = 30 * time.Second

var otad string // the program under test

func TestMain(m *testing.M) { os.Exit(otadrun.WithBinary(&otad, m.Run)) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bench is a directory with a package and two key pairs of minisign, and an
// origin that serves the directory.
type bench struct {
	t        *testing.T
	dir      string
	url      string
	requests atomic.Int32 // for the package
}

const size = 3<<20 + 77

func newBench(t *testing.T) *bench {
	t.Helper()
	for _, program := range []string{"minisign", "signify-openbsd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not on the PATH: make test-board installs it")
		}
	}
	b := &bench{t: t, dir: t.TempDir()}
	b.write("u.zip", 1)
	files := http.FileServer(http.Dir(b.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".minisig") {
			b.requests.Add(1)
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	for _, name := range []string{"old", "new"} {
		b.run("minisign", "-G", "-W", "-p", name+".pub", "-s", name+".key")
	}
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// write makes a package of random bytes.
func (b *bench) write(name string, seed uint64) {
	b.t.Helper()
	whole := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range whole {
		whole[i] = byte(r.Uint32())
	}
	check(b.t, os.WriteFile(b.path(name), whole, 0o644))
}

func (b *bench) read(name string) []byte {
	b.t.Helper()
	text, err := os.ReadFile(b.path(name))
	check(b.t, err)
	return text
}

// run runs a program in the directory, which has to succeed.
func (b *bench) run(program string, args ...string) string {
	b.t.Helper()
	cmd := otadrun.Command(program, args...)
	cmd.Dir = b.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// claims is the trusted comment that otad needs.
func (b *bench) claims(name, version string) string {
	sum := sha256.Sum256(b.read(name))
	return fmt.Sprintf("timestamp:%d\tfile:%s\thashed\tversion:%s\tsize:%d\tsha256:%x", time.Now().Unix(), name, version, size, sum)
}

// sign signs the package with that key, and returns the signature.
func (b *bench) sign(key, name string, more ...string) string {
	b.t.Helper()
	b.run("minisign", append([]string{"-S", "-s", key + ".key", "-m", name, "-t", b.claims(name, "1.2.3")}, more...)...)
	return string(b.read(name + ".minisig"))
}

// fetch runs otad fetch of the package with further flags.
func (b *bench) fetch(name string, flags ...string) otadrun.Result {
	b.t.Helper()
	sum := md5.Sum(b.read(name))
	cmd := otadrun.Command(otad, otadrun.FetchArgs(b.t.TempDir(), hex.EncodeToString(sum[:]), b.url+"/"+name, flags...)...)
	cmd.Dir = b.dir
	p, err := otadrun.Start(cmd)
	check(b.t, err)
	return p.Wait()
}

// post posts the package to a daemon, with more members, and returns code and
// message.
func (b *bench) post(addr string, more map[string]any) (int, string) {
	b.t.Helper()
	sum := md5.Sum(b.read("u.zip"))
	job := map[string]any{"version": "1.2.3", "package_url": b.url + "/u.zip?key=1", "package_name": "u.zip", "package_size": size,
		"package_md5": hex.EncodeToString(sum[:])}
	for k, v := range more {
		job[k] = v
	}
	body, err := json.Marshal(job)
	check(b.t, err)
	resp, err := http.Post("http://"+addr+"/api/v1.0/download", "application/json", bytes.NewReader(body))
	check(b.t, err)
	defer resp.Body.Close()
	var answer struct {
		Code int
		Msg  string
	}
	check(b.t, json.NewDecoder(resp.Body).Decode(&answer))
	return answer.Code, answer.Msg
}

// progress is what a daemon shows.
type progress struct {
	State    string `json:"state"`
	SignedBy string `json:"signed_by"`
	Error    string `json:"error"`
}

// await waits until the daemon is in the state.
func await(t *testing.T, p *otadrun.Process, addr, state string) (now progress) {
	t.Helper()
	check(t, p.Await(patience, state, func() (bool, error) {
		resp, err := http.Get("http://" + addr + "/progress")
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		var answer struct{ Data progress }
		err = json.NewDecoder(resp.Body).Decode(&answer)
		now = answer.Data
		return now.State == state, err
	}))
	return now
}
