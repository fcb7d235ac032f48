package netio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"otad/netio"
)

// hosts are the names of this file's tests, with the address of each lookup; the
// last one stays.
var hosts = map[string][]string{
	"public.test":    {"192.0.2.1"},
	"other.test":     {"2001:db8::1"},
	"private.test":   {"192.168.1.2"},
	"link.test":      {"169.254.7.7"},
	"link6.test":     {"fe80::1"},
	"board.test":     {"127.0.0.1"},
	"board6.test":    {"::1"},
	"mapped.test":    {"::ffff:127.0.0.1"},
	"zero.test":      {"0.0.0.0"},
	"rebinding.test": {"192.0.2.1", "169.254.169.254"},
	"homing.test":    {"192.0.2.1", "127.0.0.1"},
}

func TestWhereRequestsMayLead(t *testing.T) {
	const ok, refused, refusedLookup = -1, netio.Permanent, netio.Transient
	tests := []struct {
		name   string
		hops   []string // the URL, then where each answer redirects
		result netio.Kind
		detail string
		dialed []string
	}{
		{"localhost is not looked up", []string{"http://localhost/"}, ok, "", []string{"127.0.0.1:80"}},
		{"in any case of letters", []string{"https://LocalHost:8443/"}, refusedLookup, "TLS broke", []string{"127.0.0.1:8443"}},
		{"loopback by address", []string{"http://[::1]:81/"}, ok, "", []string{"[::1]:81"}},
		{"a name of loopback", []string{"http://board.test/"}, refusedLookup, "the host leads to 127.0.0.1, which is this board", nil},
		{"of IPv6 loopback", []string{"http://board6.test/"}, refusedLookup, "leads to ::1", nil},
		{"of mapped loopback", []string{"http://mapped.test/"}, refusedLookup, "leads to 127.0.0.1", nil},
		{"of no address", []string{"http://zero.test/"}, refusedLookup, "leads to 0.0.0.0", nil},
		{"no address", []string{"http://0.0.0.0/"}, refusedLookup, "leads to 0.0.0.0", nil},
		{"no address with a zone", []string{"http://[::%25lo]/"}, refusedLookup, "leads to ::%lo", nil},
		{"loopback with a zone", []string{"http://[::1%25lo]/"}, ok, "", []string{"[::1%lo]:80"}},
		{"a private network", []string{"http://private.test/"}, ok, "", []string{"192.168.1.2:80"}},
		{"the link", []string{"http://link.test/"}, ok, "", []string{"169.254.7.7:80"}},

		{"loopback to loopback", []string{"http://127.0.0.1/", "http://localhost:81/"}, ok, "", []string{"127.0.0.1:80", "127.0.0.1:81"}},
		{"loopback to the link", []string{"http://127.0.0.1/", "http://169.254.7.7/"}, ok, "", []string{"127.0.0.1:80", "169.254.7.7:80"}},
		{"loopback away", []string{"http://127.0.0.1/", "http://public.test/"}, ok, "", []string{"127.0.0.1:80", "192.0.2.1:80"}},
		{"away to away", []string{"http://public.test/", "http://other.test/"}, ok, "", []string{"192.0.2.1:80", "[2001:db8::1]:80"}},
		{"away to a private network", []string{"http://public.test/", "http://private.test/", "http://10.0.0.1/"}, ok, "", []string{"192.0.2.1:80", "192.168.1.2:80", "10.0.0.1:80"}},
		{"link to link", []string{"http://link.test/", "http://link6.test/"}, ok, "", []string{"169.254.7.7:80", "[fe80::1]:80"}},

		{"away to loopback", []string{"http://public.test/", "http://127.0.0.1/"}, refused, "redirect refused: redirect to 127.0.0.1", []string{"192.0.2.1:80"}},
		{"away to localhost", []string{"http://public.test/", "http://localhost:12315/"}, refused, "redirect refused: redirect to 127.0.0.1", []string{"192.0.2.1:80"}},
		{"away to loopback by https", []string{"http://public.test/", "https://[::1]/"}, refused, "redirect to ::1", []string{"192.0.2.1:80"}},
		{"away to mapped loopback", []string{"http://public.test/", "http://[::ffff:127.0.0.1]/"}, refused, "redirect to ::ffff:127.0.0.1", []string{"192.0.2.1:80"}},
		{"away to no address", []string{"http://public.test/", "http://[::]/"}, refused, "leads to ::, which is this board", []string{"192.0.2.1:80"}},
		{"away to the link", []string{"http://public.test/", "http://169.254.169.254/"}, refused, "redirect to 169.254.169.254, which is only for this board and its link", []string{"192.0.2.1:80"}},
		{"away to the IPv6 link", []string{"http://public.test/", "http://[fe80::1]/"}, refused, "redirect to fe80::1", []string{"192.0.2.1:80"}},
		{"away to the IPv6 link with a zone", []string{"http://public.test/", "http://[fe80::1%25eth0]/"}, refused, "redirect to fe80::1%eth0", []string{"192.0.2.1:80"}},
		{"a private network to loopback", []string{"http://private.test/", "http://127.0.0.1/"}, refused, "redirect to 127.0.0.1", []string{"192.168.1.2:80"}},
		{"link to loopback", []string{"http://link.test/", "http://127.0.0.1/"}, refused, "redirect to 127.0.0.1", []string{"169.254.7.7:80"}},
		{"away and back", []string{"http://127.0.0.1/", "http://public.test/", "http://127.0.0.1/"}, refused, "redirect to 127.0.0.1", []string{"127.0.0.1:80", "192.0.2.1:80"}},
		{"over the link back", []string{"http://public.test/", "http://private.test/", "http://169.254.7.7/"}, refused, "redirect to 169.254.7.7", []string{"192.0.2.1:80", "192.168.1.2:80"}},

		{"away to a name of the link", []string{"http://public.test/", "http://link.test/"}, refusedLookup, "redirect to 169.254.7.7", []string{"192.0.2.1:80"}},
		{"away to a name of the IPv6 link", []string{"http://public.test/", "http://link6.test/"}, refusedLookup, "redirect to fe80::1", []string{"192.0.2.1:80"}},
		{"away to a name of loopback", []string{"http://public.test/", "http://board.test/"}, refusedLookup, "the host leads to 127.0.0.1", []string{"192.0.2.1:80"}},
		{"another address of the name", []string{"http://rebinding.test/a", "/b"}, refusedLookup, "redirect to 169.254.169.254", []string{"192.0.2.1:80"}},
		{"loopback under the name", []string{"http://homing.test/a", "/b"}, refusedLookup, "the host leads to 127.0.0.1", []string{"192.0.2.1:80"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var texts []string
			for _, to := range tt.hops[1:] {
				texts = append(texts, redirectTo(to))
			}
			o := replying(t, append(texts, whole(object, ""))...)
			lookups := map[string]int{}
			f := o.fetcher(t, netio.Config{AllowHTTP: true, Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
				addrs := hosts[host]
				if addrs == nil {
					t.Errorf("%s is looked up", host)
				}
				addr := addrs[min(lookups[host], len(addrs)-1)]
				lookups[host]++
				return []netip.Addr{netip.MustParseAddr(addr)}, nil
			}})
			got, err := fetch(t, f, netio.Request{URL: tt.hops[0]})
			if tt.result == ok {
				if err != nil || string(got) != object {
					t.Errorf("%q, %v", got, err)
				}
			} else if e := asError(t, err); e.Kind != tt.result || !strings.Contains(e.Detail, tt.detail) || e.Kind == refused && e.Status != http.StatusFound {
				t.Errorf("%v, HTTP %d, %q", e.Kind, e.Status, e.Detail)
			}
			if tt.detail != "TLS broke" && !slices.Equal(o.addrs, tt.dialed) {
				t.Errorf("dialled %v, want %v", o.addrs, tt.dialed)
			}
		})
	}
}

// TestTheAddressIsCheckedBeforeTheConnection checks the net.Dialer itself: what a
// name server answers leads to no connection.
func TestTheAddressIsCheckedBeforeTheConnection(t *testing.T) {
	accepted := make(chan struct{}, 10)
	u := parse(t, listen(t, "http", func(conn *net.TCPConn) {
		accepted <- struct{}{}
		respond(whole(object, ""), hangUp)(conn)
	}))
	f := newFetcher(t, netio.Config{AllowHTTP: true, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
	_, err := fetch(t, f, netio.Request{URL: "http://origin.example:" + u.Port() + "/u.bin"})
	e := wantError(t, err, netio.Transient, netio.ReasonDNS)
	want := "the host leads to 127.0.0.1, which is this board: only a URL with localhost or 127.0.0.1 may (http://origin.example:" + u.Port() + ")"
	if e.Detail != want || len(accepted) != 0 {
		t.Errorf("%q after %d connections", e.Detail, len(accepted))
	}
	if got, err := fetch(t, f, netio.Request{URL: "http://localhost:" + u.Port() + "/u.bin"}); err != nil || string(got) != object {
		t.Errorf("localhost: %q, %v", got, err)
	}
}

// TestAProxyLooksUpTheHost checks that the address of a proxy is not taken for
// the origin's, and that an address in a redirect is checked nevertheless.
func TestAProxyLooksUpTheHost(t *testing.T) {
	proxy := &url.URL{Scheme: "http", Host: "127.0.0.1:3128"}
	for location, ok := range map[string]bool{"http://other.test/": true, "http://10.0.0.1/": true, "http://169.254.169.254/": false, "http://localhost/": false} {
		o := replying(t, redirectTo(location), whole(object, ""))
		f := o.fetcher(t, netio.Config{AllowHTTP: true})
		f.UseProxy(proxy)
		_, err := fetch(t, f, netio.Request{URL: "http://public.test/u.bin"})
		if ok && err != nil {
			t.Errorf("%s: %v", location, err)
		}
		if !ok {
			wantError(t, err, netio.Permanent, "")
		}
	}
}

func TestListenAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"localhost:1": "127.0.0.1:1", "LOCALHOST:0": "127.0.0.1:0", ":1": ":1", "[::1]:1": "[::1]:1",
		"localhost.example:1": "localhost.example:1", "localhost": "localhost",
	} {
		if got := netio.ListenAddress(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestDialContextKnowsLocalhost(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Skipf("no %s here: %v", addr, err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		conn, err := netio.DialContext(t.Context(), "tcp", "localhost:"+port)
		if err != nil {
			t.Fatal(err)
		}
		if conn.RemoteAddr().String() != l.Addr().String() {
			t.Errorf("connected to %v, want %v", conn.RemoteAddr(), l.Addr())
		}
		conn.Close()
	}
	if _, err := netio.DialContext(t.Context(), "tcp", "no port"); err == nil {
		t.Error("an address without a port is dialled")
	}
}

// certificateFiles writes a certificate of ca for the board and returns the
// configuration that uses it.
func certificateFiles(t *testing.T, ca *authority) netio.Config {
	dir := t.TempDir()
	c := netio.Config{CAFile: ca.file, ClientCert: filepath.Join(dir, "cert.pem"), ClientKey: filepath.Join(dir, "key.pem")}
	writePair(t, ca.issue(t, 7, "board", -1, 1), c.ClientCert, c.ClientKey)
	return c
}

// certificates returns a server's configuration that requests a certificate, and
// the serial numbers of those that were sent, 0 for none.
func certificates(t *testing.T, ca *authority, host string) (*tls.Config, chan int64) {
	serials := make(chan int64, 10)
	return &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, 2, host, -1, 1)}, ClientAuth: tls.RequestClientCert,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				serials <- 0
				return nil
			}
			c, err := x509.ParseCertificate(raw[0])
			serials <- c.SerialNumber.Int64()
			return err
		},
	}, serials
}

func TestTheClientCertificateIsForTheURLsHost(t *testing.T) {
	ca := newAuthority(t)
	own, toOwn := certificates(t, ca, "127.0.0.1")
	other, toOther := certificates(t, ca, "127.0.0.1")
	var back string
	target := serveTLS(t, other, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			http.Redirect(w, r, back, http.StatusFound)
			return
		}
		serveObject(w, r)
	})
	u := serveTLS(t, own, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/u.bin":
			http.Redirect(w, r, "/within", http.StatusFound)
		case "/within":
			http.Redirect(w, r, target, http.StatusFound)
		case "/there":
			http.Redirect(w, r, strings.TrimSuffix(target, "u.bin")+"back", http.StatusFound)
		default:
			serveObject(w, r)
		}
	})
	base := strings.TrimSuffix(u, "u.bin")
	back = base + "end"
	for path, want := range map[string][2][]int64{
		"u.bin": {{7, 7}, {0}},
		"there": {{7, 0}, {0}},
	} {
		if _, err := fetch(t, newFetcher(t, certificateFiles(t, ca)), netio.Request{URL: base + path}); err != nil {
			t.Fatal(err)
		}
		if got, also := drain(toOwn), drain(toOther); !slices.Equal(got, want[0]) || !slices.Equal(also, want[1]) {
			t.Errorf("%s: the host received certificates %v, the other one %v; want %v", path, got, also, want)
		}
	}
}

func drain(c chan int64) (all []int64) {
	for len(c) > 0 {
		all = append(all, <-c)
	}
	return all
}

// TestAProxyIsNotShownTheClientCertificate checks an https proxy, which requests
// one like the origin behind it.
func TestAProxyIsNotShownTheClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	forOrigin, toOrigin := certificates(t, ca, "origin.example")
	origin := parse(t, serveTLS(t, forOrigin, serveObject))
	forProxy, toProxy := certificates(t, ca, "127.0.0.1")
	proxy := listen(t, "https", func(raw *net.TCPConn) {
		conn := tls.Server(raw, forProxy)
		r := bufio.NewReader(conn)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		behind, err := net.Dial("tcp", origin.Host)
		if err != nil {
			return
		}
		defer behind.Close()
		io.WriteString(conn, "HTTP/1.1 200 Connected\r\n\r\n")
		go io.Copy(behind, r)
		io.Copy(conn, behind)
	})
	f := newFetcher(t, certificateFiles(t, ca))
	f.UseProxy(parse(t, proxy))
	if got, err := fetch(t, f, netio.Request{URL: "https://origin.example/u.bin"}); err != nil || string(got) != object {
		t.Fatalf("%q, %v", got, err)
	}
	if p, o := drain(toProxy), drain(toOrigin); !slices.Equal(p, []int64{0}) || !slices.Equal(o, []int64{7}) {
		t.Errorf("the proxy received certificates %v, the origin %v; want none and 7", p, o)
	}
	f.UseProxy(socks(t, origin.Host))
	if got, err := fetch(t, f, netio.Request{URL: "https://origin.example/u.bin"}); err != nil || string(got) != object {
		t.Fatalf("through SOCKS: %q, %v", got, err)
	}
	if o := drain(toOrigin); !slices.Equal(o, []int64{7}) {
		t.Errorf("through SOCKS the origin received certificates %v, want 7", o)
	}
}

// socks returns the URL of a SOCKS proxy (RFC 1928) that leads to addr whatever it
// is asked for.
func socks(t *testing.T, addr string) *url.URL {
	u := parse(t, listen(t, "socks5", func(conn *net.TCPConn) {
		message := make([]byte, 262)
		if _, err := conn.Read(message); err != nil {
			return
		}
		conn.Write([]byte{5, 0}) // no authentication
		if _, err := conn.Read(message); err != nil {
			return
		}
		behind, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer behind.Close()
		conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		go io.Copy(behind, conn)
		io.Copy(conn, behind)
	}))
	return &url.URL{Scheme: "socks5", Host: u.Host}
}
