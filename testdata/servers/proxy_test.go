package servers_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// throughProxy downloads over https through tinyproxy. Requests to the loopback
// never use a proxy, so the URL has this machine's own name.
func throughProxy(t *testing.T, s packages, seen *column) {
	name, host := ownName(t)
	o := newFileOrigin(t, products[0], host, name)
	p := newProxy(t)
	seen.note("version", o.release(t)+", "+versionOf(t, "tinyproxy", "-v"))
	newJobBehind := func(folder string) *job {
		j := newJob(t, fmt.Sprintf("https://%s:%s%s", name, o.TLS.Port, target(folder)), s.first, "-ca-file", o.CA)
		j.env = []string{fmt.Sprintf("HTTPS_PROXY=http://%s", p.listens[0])}
		return j
	}
	carried := func(t *testing.T, n int) {
		t.Helper()
		output, err := os.ReadFile(p.log)
		if got := strings.Count(string(output), fmt.Sprintf("CONNECT %s:%s ", name, o.TLS.Port)); err != nil || got != n {
			t.Errorf("the proxy has made %d connections in all, want %d (%v): %s", got, n, err, output)
		}
	}
	t.Run("range", func(t *testing.T) {
		r := trial{o, s, folder(t), seen}
		o.publish(t, r.folder, s.first)
		goesOn(t, r, newJobBehind(r.folder), "TLS, own CA")
		carried(t, 2)
	})
	t.Run("restarted", func(t *testing.T) {
		o.publish(t, folder(t), s.first)
		j := newJobBehind(folder(t))
		running := j.start(t, slowly...)
		running.reach(t, middle)
		p.kill()
		p.start(t)
		output := running.wait(t)
		j.wantReady(t, output)
		if resumedAt(t, output) < middle-interval {
			t.Errorf("nothing was resumed: %s", output.Stderr)
		}
		carried(t, 4)
		seen.note("killed and restarted", "goes on after "+output.entries("retrying")[0].Reason)
	})
}

// A proxy is a running tinyproxy.
type proxy struct {
	process
	log string
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	dir := openDir(t)
	listens := freeAddresses(t, "127.0.0.1", 1)
	config := configure(t, dir, "tinyproxy.conf", struct {
		Dir   string
		Plain address
	}{dir, listens[0]})
	p := &proxy{log: filepath.Join(dir, "access.log"), process: process{
		program: "tinyproxy", args: []string{"-d", "-c", config}, listens: listens, output: filepath.Join(dir, "output"),
	}}
	p.start(t)
	return p
}

// ownName returns a name of this machine and an address of it, on the loopback
// if there is one.
func ownName(t *testing.T) (name, host string) {
	t.Helper()
	name, err := os.Hostname()
	check(t, err)
	addresses, err := net.DefaultResolver.LookupIP(t.Context(), "ip4", name)
	if err != nil {
		t.Fatalf("this machine does not know its own name, which /etc/hosts should map to 127.0.1.1: %v", err)
	}
	for _, a := range addresses {
		if a.IsLoopback() {
			return name, a.String()
		}
	}
	return name, addresses[0].String()
}
