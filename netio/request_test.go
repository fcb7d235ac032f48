package netio_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"otad/netio"
)

func TestRequest(t *testing.T) {
	base := func(offset string) http.Header {
		return http.Header{
			"User-Agent": {"otad/1.2.3"}, "Accept": {"*/*"}, "Authorization": {"Basic dXNlcjpwYXNzd29yZA=="}, "Accept-Encoding": {"identity"}, "Connection": {"close"}, "Range": {"bytes=" + offset + "-"},
		}
	}
	with := func(h http.Header, key, value string) http.Header {
		h.Set(key, value)
		return h
	}
	tests := []struct {
		name string
		req  netio.Request
		want http.Header
	}{
		{"from the start", netio.Request{Size: 10}, base("0")},
		{"no If-Match at the start", netio.Request{Size: 10, Validator: known}, base("0")},
		{"resume", netio.Request{Offset: 4, Size: 10, Validator: known}, with(base("4"), "If-Match", `"a"`)},
		{"resume with a weak ETag", netio.Request{Offset: 4, Size: 10, Validator: netio.Validator{ETag: `W/"a"`}}, base("4")},
		{"resume with an ETag without quotes", netio.Request{Offset: 4, Size: 10, Validator: netio.Validator{ETag: `a`}}, with(base("4"), "If-Match", `"a"`)},
		{"resume without a validator", netio.Request{Offset: 4, Size: 10}, base("4")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := replying(t, whole(object, ""))
			tt.req.URL = "http://user:password@127.0.0.1:8080/fw/a%20b?X-Amz-Signature=abc%2F&x=1#part"
			if _, err := fetch(t, o.fetcher(t, netio.Config{UserAgent: "otad/1.2.3"}), tt.req); err != nil {
				t.Fatal(err)
			}
			got := o.received()[0]
			if got.Method != "GET" || got.RequestURI != "/fw/a%20b?X-Amz-Signature=abc%2F&x=1" || got.Host != "127.0.0.1:8080" || got.Proto != "HTTP/1.1" {
				t.Errorf("request line %s %s %s, host %s", got.Method, got.RequestURI, got.Proto, got.Host)
			}
			if !maps.EqualFunc(got.Header, tt.want, slices.Equal[[]string]) {
				t.Errorf("got  %v\nwant %v", got.Header, tt.want)
			}
		})
	}
}

// redirectTo returns a redirect, with a cookie that must not be sent back.
func redirectTo(location string) string {
	return response(http.StatusFound, "", "Location: "+location+"\r\nSet-Cookie: a=b\r\n")
}

func TestRedirectedRequestIsTheSame(t *testing.T) {
	o := replying(t, redirectTo("http://x:y@localhost:81/other?sig=2"), redirectTo("../third"), partial(4, 10, object[4:], tagged))
	r := netio.Request{URL: objectURL + "?sig=1", Offset: 4, Size: 10, Validator: known}
	if _, err := fetch(t, o.fetcher(t, netio.Config{}), r); err != nil {
		t.Fatal(err)
	}
	received := o.received()
	if len(received) != 3 {
		t.Fatalf("%d requests, want 3", len(received))
	}
	for i, uri := range []string{"/fw/u.bin?sig=1", "/other?sig=2", "/third"} {
		if received[i].RequestURI != uri {
			t.Errorf("request %d is for %s, want %s", i, received[i].RequestURI, uri)
		}
		if !maps.EqualFunc(received[i].Header, received[0].Header, slices.Equal[[]string]) {
			t.Errorf("request %d: header %v, want that of the first, %v", i, received[i].Header, received[0].Header)
		}
		if received[i].Referer() != "" || received[i].Header.Get("If-Match") != `"a"` {
			t.Errorf("request %d: %v", i, received[i].Header)
		}
	}
	if want := []string{"127.0.0.1:80", "127.0.0.1:81", "127.0.0.1:81"}; !slices.Equal(o.addrs, want) {
		t.Errorf("dialled %v, want %v", o.addrs, want)
	}
}

func TestAtMostTenRedirectsAreFollowed(t *testing.T) {
	for redirects, ok := range map[int]bool{10: true, 11: false} {
		t.Run(fmt.Sprint(redirects), func(t *testing.T) {
			o := newOrigin(t, func(nth int, _ *http.Request, conn net.Conn) {
				text := whole(object, "")
				if nth < redirects {
					text = redirectTo(fmt.Sprintf("/%d", nth))
				}
				io.WriteString(conn, text)
			})
			_, err := fetch(t, o.fetcher(t, netio.Config{}), netio.Request{URL: objectURL})
			if ok && err != nil {
				t.Error(err)
			}
			if !ok {
				wantError(t, err, netio.Permanent, "")
			}
		})
	}
}

func TestRefusedRedirect(t *testing.T) {
	for name, location := range map[string]string{
		"http beyond loopback": "http://origin.example/u.bin",
		"another scheme":       "ftp://127.0.0.1/u.bin",
		"a file":               "file:///etc/passwd",
		"no host":              "https:///u.bin",
		"no URL":               "http://127.0.0.1:port/",
	} {
		t.Run(name, func(t *testing.T) {
			o := replying(t, redirectTo(location), whole(object, ""))
			_, err := fetch(t, o.fetcher(t, netio.Config{}), netio.Request{URL: objectURL})
			if e := wantError(t, err, netio.Permanent, ""); e.Status != http.StatusFound {
				t.Errorf("status %d, want 302", e.Status)
			}
			if n := len(o.received()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestRefusedURL(t *testing.T) {
	o := replying(t, whole(object, ""))
	_, err := fetch(t, o.fetcher(t, netio.Config{}), netio.Request{URL: "http://origin.example/u.bin"})
	e := wantError(t, err, netio.Permanent, "")
	var bad *netio.URLError
	if !errors.As(e, &bad) || len(o.received()) != 0 {
		t.Errorf("got %v after %d requests", err, len(o.received()))
	}
	if _, err := fetch(t, o.fetcher(t, netio.Config{AllowHTTP: true}), netio.Request{URL: "http://origin.example/u.bin"}); err != nil {
		t.Errorf("with AllowHTTP: %v", err)
	}
}

func TestHeaderSizeIsLimited(t *testing.T) {
	text := whole(object, strings.Repeat("X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 300))
	_, err := fetch(t, replying(t, text).fetcher(t, netio.Config{}), netio.Request{URL: objectURL})
	wantError(t, err, netio.Transient, netio.ReasonOther)
}

func TestRequestLineAndHost(t *testing.T) {
	tests := []struct {
		name, url      string
		location       string // of a redirect; empty: none
		target, wanted string // request target and Host of the last request
	}{
		{"default port", "http://127.0.0.1:80/u.bin", "", "/u.bin", "127.0.0.1"},
		{"other port", "http://127.0.0.1:8080/u.bin", "", "/u.bin", "127.0.0.1:8080"},
		{"another scheme's port", "http://127.0.0.1:443/u.bin", "", "/u.bin", "127.0.0.1:443"},
		{"IPv6", "http://[::1]:80/u.bin", "", "/u.bin", "[::1]"},
		{"IPv6 without a port", "http://[::1]/u.bin", "", "/u.bin", "[::1]"},
		{"default port of a redirect", objectURL, "http://localhost:80/v.bin", "/v.bin", "localhost"},
		{"space", "http://127.0.0.1/a b?c d=e  f", "", "/a%20b?c%20d=e%20%20f", "127.0.0.1"},
		{"control characters", "http://127.0.0.1/?a\r\nX:y\t\x00\x7f", "", "/?a%0D%0AX:y%09%00%7F", "127.0.0.1"},
		{"all else is unchanged", "http://127.0.0.1/?a=%2f+\xc3\xa4?|{}", "", "/?a=%2f+\xc3\xa4?|{}", "127.0.0.1"},
		{"space in a redirect", objectURL, "/v?sig=a b", "/v?sig=a%20b", "127.0.0.1"},
		{"control character in a redirect", objectURL, "/v?sig=a\tb", "/v?sig=a%09b", "127.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := replying(t, whole(object, ""))
			if tt.location != "" {
				o = replying(t, redirectTo(tt.location), whole(object, ""))
			}
			if _, err := fetch(t, o.fetcher(t, netio.Config{}), netio.Request{URL: tt.url}); err != nil {
				t.Fatal(err)
			}
			all := o.received()
			if got := all[len(all)-1]; got.RequestURI != tt.target || got.Host != tt.wanted || got.Header.Get("Accept") != "*/*" {
				t.Errorf("GET %s, Host %s, %v; want %s, %s", got.RequestURI, got.Host, got.Header, tt.target, tt.wanted)
			}
		})
	}
}

// TestCredentialsStayAtTheirOrigin checks that no redirect takes them away.
func TestCredentialsStayAtTheirOrigin(t *testing.T) {
	const basic = "Basic dXNlcjpwYXNzd29yZA=="
	header := http.Header{"authorization": {"Bearer token"}, "X-Key": {"a", "b"}, "Accept": {"application/octet-stream"}, "User-Agent": {"other"}, "Range": {"bytes=7-"}}
	tests := []struct {
		name      string
		user      string
		header    http.Header
		locations []string
		want      []string // Authorization of each request
	}{
		{"userinfo", "user:password@", nil, nil, []string{basic}},
		{"header", "", header, nil, []string{"Bearer token"}},
		{"header wins", "user:password@", header, nil, []string{"Bearer token"}},
		{"same origin", "", header, []string{"/b", "http://127.0.0.1:80/c"}, []string{"Bearer token", "Bearer token", "Bearer token"}},
		{"another port", "", header, []string{"http://127.0.0.1:81/b"}, []string{"Bearer token", ""}},
		{"another host", "user:password@", nil, []string{"http://localhost/b"}, []string{basic, ""}},
		{"another name of the host", "", header, []string{"http://127.0.0.1./b"}, []string{"Bearer token", ""}},
		{"there and back", "", header, []string{"http://localhost/b", objectURL}, []string{"Bearer token", "", ""}},
		{"userinfo of a redirect is nobody's", "", nil, []string{"http://x:y@127.0.0.1/b"}, []string{"", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var texts []string
			for _, l := range tt.locations {
				texts = append(texts, redirectTo(l))
			}
			o := replying(t, append(texts, whole(object, ""))...)
			f := o.fetcher(t, netio.Config{Header: tt.header, AllowHTTP: true})
			if _, err := fetch(t, f, netio.Request{URL: "http://" + tt.user + "127.0.0.1/u.bin"}); err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, r := range o.received() {
				got = append(got, r.Header.Get("Authorization"))
				own := tt.want[i] == "Bearer token"
				if len(r.Header.Values("X-Key")) != map[bool]int{true: 2}[own] || r.Header.Get("Accept") == "*/*" == own ||
					r.UserAgent() != "otad" || r.Header.Get("Range") != "bytes=0-" {
					t.Errorf("request %d: header %v", i, r.Header)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("Authorization %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCredentialsAreInNoError(t *testing.T) {
	for name, text := range map[string]string{"refused": response(401, "", ""), "not HTTP": "x\r\n\r\n", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			f := replying(t, text).fetcher(t, netio.Config{Header: http.Header{"Authorization": {"Bearer " + secret}}})
			_, err := f.Open(t.Context(), netio.Request{URL: "http://" + secret + ":" + secret + "@127.0.0.1/u.bin"})
			wantNoSecret(t, err)
		})
	}
	f := replying(t, "").fetcher(t, netio.Config{Header: http.Header{"Authorization": {secret + "\n"}}})
	_, err := f.Open(t.Context(), netio.Request{URL: objectURL})
	wantNoSecret(t, err)
}
