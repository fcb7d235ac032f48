package netio_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"otad/netio"
)

func TestPrintable(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"ASCII", `~ u.zip "a\b" `, `~ u.zip "a\b" `},
		{"NUL", "a\x00b", `a\u0000b`},
		{"escape", "\x1b[2J", `\u001b[2J`},
		{"line feed, carriage return, tab", "a\r\nb\tc", `a\u000d\u000ab\u0009c`},
		{"DEL", "a\x7f", `a\u007f`},
		{"C1: CSI and NEL", "\u009b2J\u0085", `\u009b2J\u0085`},
		{"C1 as a single byte", "a\x9b2J", `a\ufffd2J`},
		{"bidi", "u\u202egpj.piz\u2066\u2069\u200f\u061c", `u\u202egpj.piz\u2066\u2069\u200f\u061c`},
		{"separators of lines and paragraphs", "a\u2028b\u2029", `a\u2028b\u2029`},
		{"zero width", "a\u200bb\u200d\ufeff\u00ad\u034f\u3164", `a\u200bb\u200d\ufeff\u00ad\u034f\u3164`},
		{"tags and variation selectors", "a\U000e0041\ufe0f\U000e0100", `a\udb40\udc41\ufe0f\udb40\udd00`},
		{"letters", "é Ж 包", `\u00e9 \u0416 \u5305`},
		{"beyond 16 bits", "\U0001f600", `\ud83d\ude00`},
		{"not UTF-8", "a\xff\xc3", `a\ufffd\ufffd`},
		{"half a pair in UTF-8", "\xed\xa0\x80", `\ufffd\ufffd\ufffd`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := netio.Printable(tt.text); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			line := strings.ReplaceAll(tt.want, `\u000a`, "\n")
			if got := string(netio.PrintableLines([]byte(tt.text))); got != line {
				t.Errorf("as lines: got %q, want %q", got, line)
			}
		})
	}
}

// FuzzPrintable checks that nothing but printable ASCII is left, and that JSON
// has the same values afterwards.
func FuzzPrintable(f *testing.F) {
	f.Add("u\u202egpj.piz \U0001f600\x9b\n\x7f\u2028")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		shown := netio.Printable(text)
		wantPrintable(t, shown)
		if again := netio.Printable(shown); again != shown {
			t.Errorf("%q changes to %q", shown, again)
		}
		encoded, err := json.Marshal(map[string]string{text: text})
		if err != nil {
			t.Fatal(err)
		}
		ascii := netio.PrintableLines(encoded)
		wantPrintable(t, string(ascii))
		var before, after map[string]string
		if err := json.Unmarshal(encoded, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(ascii, &after); err != nil {
			t.Fatalf("%s: %v", ascii, err)
		}
		for key, value := range before {
			if after[key] != value || utf8.ValidString(text) && value != text {
				t.Errorf("%q is %q in JSON", value, after[key])
			}
		}
	})
}

func wantPrintable(t *testing.T, text string) {
	t.Helper()
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			t.Errorf("byte %#x in %q", c, text)
			return
		}
	}
}

// hostile has what a terminal, a log or a reader could be misled by.
const hostile = "a\x1b]0;x\x07\xc2\x9b2J\xe2\x80\xae\xe2\x80\xa8\xe2\x80\x8b\x7f\x9b\xff"

// TestErrorsOfAHostileOriginArePrintable puts such text wherever an origin can.
func TestErrorsOfAHostileOriginArePrintable(t *testing.T) {
	for name, text := range map[string]string{
		"status line":           "HTTP/1.1 404 " + hostile + "\r\nContent-Length: 0\r\n\r\n",
		"status":                "HTTP/1.1 4" + hostile + " x\r\n\r\n",
		"protocol":              hostile + "\r\n\r\n",
		"name of a field":       "HTTP/1.1 200 OK\r\n" + hostile + ": x\r\n\r\n",
		"no field":              "HTTP/1.1 200 OK\r\n" + hostile + "\r\n\r\n",
		"value of a field":      response(503, "", "Retry-After: "+hostile+"\r\n"),
		"length":                "HTTP/1.1 200 OK\r\nContent-Length: 1" + hostile + "\r\n\r\n",
		"transfer encoding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + hostile + "\r\n\r\n",
		"content encoding":      response(206, "x", "Content-Encoding: "+hostile+"\r\nContent-Range: bytes 0-0/10\r\n"),
		"content type":          response(200, "x", "Content-Type: text/html; "+hostile+"\r\n"),
		"content range":         response(206, "x", "Content-Range: bytes "+hostile+"\r\n"),
		"ETag":                  partial(4, 10, object[4:], "ETag: \""+hostile+"\"\r\n"),
		"another ETag":          partial(4, 10, object[4:], "ETag: \"b\xc2\x9b\xe2\x80\xae\"\r\n"),
		"host of a redirect":    redirectTo("https://h\xe2\x80\xae\xc2\x9b\xe2\x80\x8b.example:1/u.bin"),
		"path of a redirect":    redirectTo("/" + hostile),
		"scheme of a redirect":  redirectTo("x\xe2\x80\xae:y"),
		"code of an error":      response(403, "<Error><Code>"+hostile+"</Code><Message>"+hostile+"</Message></Error>", ""),
		"body of a chunk":       "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nTransfer-Encoding: chunked\r\n\r\n" + hostile + "\r\n",
		"interim response":      "HTTP/1.1 103 " + hostile + "\r\nX: " + hostile + "\r\n\r\n" + response(404, "", ""),
		"percent in a redirect": redirectTo("https://%E2%80%AE%C2%9B.example/"),
	} {
		t.Run(name, func(t *testing.T) {
			o := replying(t, text)
			r := netio.Request{URL: objectURL, Offset: 4, Size: 10, Validator: netio.Validator{ETag: `"a"`}}
			_, err := fetch(t, o.fetcher(t, netio.Config{AllowHTTP: true, Header: http.Header{"X-Key": {"k"}}}), r)
			if err == nil {
				t.Fatal("no error")
			}
			e := asError(t, err)
			wantPrintable(t, e.Error())
			if e.Err != nil {
				wantPrintable(t, e.Err.Error())
			}
		})
	}
}
