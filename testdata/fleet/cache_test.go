package main

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

// configuration returns the one in README.md with the names of this test.
func configuration(t *testing.T, names ...string) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(readme), "```nginx\n")
	text, _, found := strings.Cut(after, "```\n")
	if !found {
		t.Fatal("README.md has no configuration")
	}
	for i := 0; i < len(names); i += 2 {
		if !strings.Contains(text, names[i]) {
			t.Fatalf("the configuration in README.md has no %q", names[i])
		}
	}
	return strings.NewReplacer(names...).Replace(text)
}

// startCache starts nginx with the configuration of README.md before the store and
// returns its address.
func startCache(t *testing.T, s *store) string {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed: make sim-fleet installs it")
	}
	addr, err := otadrun.FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("daemon off;\nmaster_process off;\npid %s/pid;\nerror_log %[1]s/error.log;\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%s}\n", dir,
		configuration(t, "listen 8080", "listen "+addr, "store.example", s.object.Host, "/var/cache/nginx/packages", dir+"/cache"))
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := otadrun.Start(otadrun.Command(nginx, "-c", file, "-p", dir, "-e", dir+"/error.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	if err := p.AwaitListener(addr, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	return addr
}

// Three boards, one of which is killed in the middle, and the store sends each
// slice once. Each board has a signature of its own, which the store checks.
func TestCacheFetchesAPackageOnceForThreeBoards(t *testing.T) {
	const size, slice = 40<<20 + 12345, 4 << 20
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{2}).Read(content)
	sum := md5.Sum(content)
	s, err := newStore(t.TempDir(), content)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.process.Kill() })
	cache := startCache(t, s)
	program, err := filepath.Abs("../../bin/otad")
	if err != nil {
		t.Fatal(err)
	}
	var boards sync.WaitGroup
	for i := range 3 {
		dir := t.TempDir()
		fetch := func(flags ...string) *otadrun.Process {
			url := strings.Replace(s.url(), s.object.Host, cache, 1)
			p, err := otadrun.Start(otadrun.Command(program, otadrun.FetchArgs(dir, hex.EncodeToString(sum[:]), url, append(flags, "-min-free", "0")...)...))
			if err != nil {
				t.Error(err)
				return nil
			}
			return p
		}
		boards.Go(func() {
			if i == 0 {
				p := fetch("-rate-limit", "20MB")
				if p == nil {
					return
				}
				if err := p.AwaitFile(filepath.Join(dir, "u.bin.otad-part"), size/2, 30*time.Second); err != nil {
					t.Error(err)
				}
				p.Kill()
			}
			p := fetch()
			if p == nil {
				return
			}
			if r := p.Wait(); r.Code != 0 {
				t.Errorf("board %d: %v", i, r.Err())
			} else if i == 0 && !strings.Contains(r.Stderr, "msg=resuming") {
				t.Errorf("the board that was killed has not resumed:\n%s", r.Stderr)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "u.bin")); err != nil || !bytes.Equal(got, content) {
				t.Errorf("board %d has another package, %v", i, err)
			}
		})
	}
	boards.Wait()
	if got, want := s.requests(), (size+slice-1)/slice; got != want {
		t.Errorf("the store was asked %d times, want %d, once a slice", got, want)
	}
	// What the cache has is no longer guarded by the signature, as README.md says.
	dir := t.TempDir()
	p, err := otadrun.Start(otadrun.Command(program, otadrun.FetchArgs(dir, hex.EncodeToString(sum[:]), "http://"+cache+"/packages/u.bin", "-min-free", "0")...))
	if err != nil {
		t.Fatal(err)
	}
	if r := p.Wait(); r.Code != 0 {
		t.Errorf("without a signature: %v", r.Err())
	}
}
