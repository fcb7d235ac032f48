package netio_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"otad/netio"
)

func TestRedact(t *testing.T) {
	tests := map[string]string{
		"https://origin.example/fw/u.bin":                          "https://origin.example/fw/u.bin",
		"https://u:p@origin.example:8443/fw/u%20b.bin?sig=1#f":     "https://origin.example:8443/fw/u%20b.bin",
		"https://origin.example?sig=1":                             "https://origin.example",
		"https://origin.example/go/https%3A%2F%2Fh%2Fp%3Fsig%3D1":  "https://origin.example/go/https%3A%2F%2Fh%2Fp",
		"https://origin.example/go/https%253A%252F%252Fh%253Fs%3D": "https://origin.example/go/https%253A%252F%252Fh",
		"https://user:pass/word@origin.example/u.bin":              "(not a URL)",
		"origin.example/u.bin?sig=1":                               "(not a URL)",
		"mailto:someone@origin.example":                            "(not a URL)",
		"":                                                         "(not a URL)",
	}
	for raw, want := range tests {
		if got := netio.Redact(raw); got != want {
			t.Errorf("Redact(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestScrub(t *testing.T) {
	tests := map[string]string{
		"": "",
		"dial tcp 192.0.2.1:443: connect: connection refused": "dial tcp 192.0.2.1:443: connect: connection refused",
		`Get "https://u:p@h/p?sig=1": EOF`:                    `Get "https://h/p": EOF`,
		`parse "https://u:p%zz@h/": invalid URL escape "%zz"`: `parse "(not a URL)": invalid URL escape "..."`,
		`invalid port ":secret" after host`:                   `invalid port "..." after host`,
		`say "a \"quoted\" https://h/?q=1" done`:              `say "(not a URL)" done`,
		`cut "https://h/?q=1`:                                 `cut "https://h/"`,
		"see https://u:p@h/p?q=1 or\thttps://h/p#f":           "see https://h/p or\thttps://h/p",
		"via https%3A%2F%2Fu%3Ap%40h%2Fp%3Fsig%3D1, then":     "via https%3A%2F%2Fh%2Fp then",
		"mail u@h now":                    "mail h now",
		"a https://u:p?q@h/ b":            "a https:// b",
		"a https://h/p?mail=u@h b":        "a https:// b",
		"a u:p/w@h/p b":                   "a h/p b",
		"a https://u:p/w@h/p b":           "a https://h/p b",
		"a %2F%2Fu%3Ap%253Fq%2540h%2Fp b": "a %2F%2F b",
	}
	for text, want := range tests {
		if got := netio.Scrub(text); got != want {
			t.Errorf("Scrub(%q)\n got %q\nwant %q", text, got, want)
		}
	}
}

// secret must not appear in any output. It consists of characters that no
// encoding changes.
const secret = "Secr3tSecr3t"

// TestNoSecretSurvives puts the secret at random places of queries and
// userinfo, in several encodings, and checks the texts that Go makes of such
// URLs.
func TestNoSecretSurvives(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		raw := secretURL(rnd)
		if got := netio.Redact(raw); strings.Contains(got, secret) {
			t.Fatalf("Redact(%q) = %q", raw, got)
		}
		for _, text := range textsAbout(raw) {
			if got := netio.Scrub(text); strings.Contains(got, secret) {
				t.Fatalf("Scrub(%q)\n= %q", text, got)
			}
		}
		if err := netio.CheckURL(raw, false); err != nil && strings.Contains(err.Error(), secret) {
			t.Fatalf("CheckURL(%q) = %v", raw, err)
		}
	}
}

// secretURL returns a URL, well-formed or not, with the secret in its query,
// fragment or userinfo.
func secretURL(rnd *rand.Rand) string {
	hidden := noise(rnd) + secret + noise(rnd)
	for range rnd.IntN(3) {
		hidden = url.QueryEscape(hidden)
	}
	scheme := []string{"https", "http", "HTTPS", "ftp"}[rnd.IntN(4)]
	path := []string{"", "/", "/fw/u.bin", "/a%20b", "/%zz", "/@x/y"}[rnd.IntN(6)]
	switch rnd.IntN(5) {
	case 0:
		return fmt.Sprintf("%s://origin.example%s?X-Amz-Signature=%s", scheme, path, hidden)
	case 1:
		return fmt.Sprintf("%s://origin.example%s?a=1&%s=2#x", scheme, path, hidden)
	case 2:
		return fmt.Sprintf("%s://origin.example:99999%s#%s", scheme, path, hidden)
	case 3:
		return fmt.Sprintf("%s://u:%s@origin.example%s?b=1", scheme, url.QueryEscape(hidden), path)
	default:
		return fmt.Sprintf("%s://%s@origin.example%s", scheme, url.QueryEscape(hidden), path)
	}
}

func noise(rnd *rand.Rand) string {
	const alphabet = `ab/?#@:%&=+"\'` + "\x7f\xff "
	b := make([]byte, rnd.IntN(6))
	for i := range b {
		b[i] = alphabet[rnd.IntN(len(alphabet))]
	}
	return string(b)
}

// textsAbout returns texts in which Go or another program could mention raw. If
// raw contains white space, only those that quote or escape it are included.
func textsAbout(raw string) []string {
	texts := []string{
		(&url.Error{Op: "Get", URL: raw, Err: errors.New("EOF")}).Error(),
		fmt.Sprintf("redirect to %q refused", raw),
		"via https://proxy.example/?to=" + url.QueryEscape(raw),
		"via https://proxy.example/" + url.PathEscape(raw) + " now",
		url.QueryEscape(raw),
		url.QueryEscape(url.QueryEscape(raw)),
	}
	if _, err := url.Parse(raw); err != nil {
		texts = append(texts, err.Error())
	}
	if !strings.ContainsAny(raw, " \"") {
		texts = append(texts, raw, "at "+raw+", then", "url="+raw)
	}
	return texts
}

func TestCheckURL(t *testing.T) {
	tests := []struct {
		url       string
		allowHTTP bool
		want      string // empty: accepted
	}{
		{"https://origin.example/u.bin?x=1", false, ""},
		{"HTTPS://u:p@[2001:db8::1]:8443/u.bin", false, ""},
		{"http://localhost/u.bin", false, ""},
		{"http://127.1.2.3:8080/u.bin", false, ""},
		{"http://[::1]/u.bin", false, ""},
		{"http://[::ffff:127.0.0.1]/u.bin", false, ""},
		{"http://origin.example/u.bin", true, ""},
		{"http://u:p@192.168.1.1:8080/callback?token=1", true, ""},
		{"http://origin.example/u.bin", false, "plain http is only for loopback: want https, or -allow-http"},
		{"http://localhost.example/u.bin", false, "plain http is only for loopback: want https, or -allow-http"},
		{"http://192.168.1.1/u.bin", false, "plain http is only for loopback: want https, or -allow-http"},
		{"ftp://origin.example/u.bin", true, `URL scheme is "ftp": want https`},
		{"file:///etc/passwd", true, `URL scheme is "file": want https`},
		{"thisisasecretthatlookslikeascheme:x", true, `URL scheme is "thisisasecrettha...": want https`},
		{"origin.example/u.bin", false, "URL has no scheme: want https"},
		{"//origin.example/u.bin", false, "URL has no scheme: want https"},
		{"https:///u.bin", false, "URL has no host"},
		{"https:u.bin", false, "URL has no host"},
		{"https://:443/u.bin", false, "URL has no host"},
		{"https://origin.example:0/u.bin", false, "URL port is out of range"},
		{"https://origin.example:65536/u.bin", false, "URL port is out of range"},
		{"https://origin.example:port/u.bin", false, "not a URL"},
		{"https://origin.example/%zz", false, "not a URL"},
		{"https://origin.example/u\n.bin", false, "not a URL"},
		{"", false, "URL has no scheme: want https"},
	}
	for _, tt := range tests {
		err := netio.CheckURL(tt.url, tt.allowHTTP)
		var bad *netio.URLError
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("CheckURL(%q, %v) = %v", tt.url, tt.allowHTTP, err)
		case tt.want != "" && (!errors.As(err, &bad) || bad.Problem != tt.want):
			t.Errorf("CheckURL(%q, %v) = %v, want %s", tt.url, tt.allowHTTP, err, tt.want)
		}
	}
}
