package netio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/netio"
)

// signed returns base with a secret query and a secret userinfo.
func signed(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // the tests' own URLs
	}
	u.User = url.UserPassword(secret, secret+"/?@")
	u.RawQuery = "X-Amz-Signature=" + secret + "&response=%22" + secret + "%2F"
	return u.String()
}

// TestNoErrorContainsTheSecret goes through every path that ends in an error.
// The origins repeat the signed URL wherever they can. The secret must not be
// in anything that a caller may print.
func TestNoErrorContainsTheSecret(t *testing.T) {
	echo := func(format string) func(*testing.T) *origin {
		return func(t *testing.T) *origin {
			return newOrigin(t, func(_ int, req *http.Request, conn net.Conn) {
				// FULL is the whole URL, WORD only the secret.
				full := "http://" + secret + ":" + secret + "@" + req.Host + req.RequestURI
				io.WriteString(conn, strings.NewReplacer("FULL", full, "WORD", secret).Replace(format))
			})
		}
	}
	ok := "HTTP/1.1 206 P\r\nContent-Length: 6\r\n"
	origins := map[string]func(*testing.T) *origin{
		"not HTTP":              echo("FULL WORD\r\n\r\n"),
		"status code":           echo("HTTP/1.1 WORD FULL\r\n\r\n"),
		"status text":           echo("HTTP/1.1 404 WORD FULL\r\n\r\n"),
		"protocol":              echo("HTTP/WORD 200 OK\r\n\r\n"),
		"header without colon":  echo("HTTP/1.1 200 OK\r\nFULL WORD\r\n\r\n"),
		"header name":           echo("HTTP/1.1 200 OK\r\nWORD FULL: x\r\n\r\n"),
		"Content-Length":        echo("HTTP/1.1 200 OK\r\nContent-Length: WORD FULL\r\n\r\n"),
		"two Content-Lengths":   echo("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: WORD\r\n\r\n"),
		"Transfer-Encoding":     echo("HTTP/1.1 200 OK\r\nTransfer-Encoding: WORD\r\n\r\n"),
		"trailer":               echo("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: WORD FULL\r\n\r\n"),
		"Content-Range":         echo(ok + "Content-Range: WORD FULL\r\n\r\n"),
		"Content-Encoding":      echo(ok + "Content-Encoding: WORD FULL\r\n\r\n"),
		"Content-Type":          echo("HTTP/1.1 200 OK\r\nContent-Type: text/WORD\r\nContent-Length: 3\r\n\r\n"),
		"ETag":                  echo(ok + "Content-Range: bytes 4-9/10\r\nETag: \"FULL\"\r\n\r\n"),
		"Last-Modified":         echo(ok + "Content-Range: bytes 4-9/10\r\nLast-Modified: FULL\r\n\r\n"),
		"another size":          echo(ok + "Content-Range: bytes 4-9/11\r\n\r\n"),
		"redirect to no URL":    echo("HTTP/1.1 302 F\r\nLocation: FULL%zz\r\n\r\n"),
		"redirect to a port":    echo("HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:WORD/\r\n\r\n"),
		"redirect to no scheme": echo("HTTP/1.1 302 F\r\nLocation: a:FULL\r\n\r\n"),
		"redirect without end":  echo("HTTP/1.1 302 F\r\nLocation: FULL\r\n\r\n"),
		"redirect beyond":       echo("HTTP/1.1 302 F\r\nLocation: http://WORD@origin.example/?WORD\r\n\r\n"),
		"expired":               echo("HTTP/1.1 403 F\r\n\r\n<Error><Code>AccessDenied</Code><Message>expired: FULL WORD</Message></Error>"),
		"error code":            echo("HTTP/1.1 403 F\r\n\r\n<Error><Code>FULL</Code><Message>WORD</Message></Error>"),
		"Retry-After":           echo("HTTP/1.1 503 F\r\nRetry-After: WORD\r\n\r\n"),
		"412":                   echo("HTTP/1.1 412 WORD\r\n\r\nFULL"),
		"416":                   echo("HTTP/1.1 416 WORD\r\nContent-Range: FULL\r\n\r\nFULL"),
		"short body":            echo(ok + "Content-Range: bytes 4-9/10\r\n\r\nWOR"),
		"chunks":                echo("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nWORD FULL\r\n"),
		"nothing":               echo(""),
		"silence":               func(t *testing.T) *origin { return newOrigin(t, func(_ int, _ *http.Request, c net.Conn) { hang(c) }) },
		"stall": func(t *testing.T) *origin {
			return newOrigin(t, func(_ int, _ *http.Request, c net.Conn) {
				io.WriteString(c, ok+"Content-Range: bytes 4-9/10\r\n\r\n4")
				hang(c)
			})
		},
	}
	for name, start := range origins {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t).fetcher(t, netio.Config{})
				_, err := fetch(t, f, netio.Request{URL: signed(objectURL), Offset: 4, Size: 10, Validator: known})
				wantNoSecret(t, err)
			})
		})
	}
}

func TestNoConnectionErrorContainsTheSecret(t *testing.T) {
	broken := map[string]string{
		"no URL":         "https://u:" + secret + "@h/%zz?" + secret,
		"bad port":       "https://u:" + secret + "/x@h/",
		"bad scheme":     "x:" + secret,
		"bad userinfo":   "https://" + secret + "<>:x@h/",
		"control":        "https://h\x7f/?" + secret,
		"http elsewhere": signed("http://origin.example/u"),
	}
	for name, u := range broken {
		t.Run(name, func(t *testing.T) {
			_, err := newFetcher(t, netio.Config{}).Open(t.Context(), netio.Request{URL: u})
			wantNoSecret(t, err)
		})
	}
	target := signed("https://origin.example/u")
	for _, cause := range []error{
		dialError(syscall.ECONNREFUSED), dialError(syscall.ENETUNREACH), dialError(syscall.EPERM),
		&net.DNSError{Err: "no such host", Name: "origin.example", IsNotFound: true},
		&net.DNSError{Err: "server misbehaving", Name: "origin.example"},
		&url.Error{Op: "Get", URL: target, Err: errors.New("cannot reach " + target)},
		fmt.Errorf("proxy %q does not respond for %s", secret, target),
	} {
		t.Run(fmt.Sprintf("%T", cause), func(t *testing.T) {
			dial := func(context.Context, string, string) (net.Conn, error) { return nil, cause }
			_, err := newFetcher(t, netio.Config{Dial: dial}).Open(t.Context(), netio.Request{URL: target})
			wantNoSecret(t, err)
		})
	}
	t.Run("TLS", func(t *testing.T) {
		u := listen(t, "https", func(conn *net.TCPConn) { conn.Read(make([]byte, 4096)) })
		_, err := newFetcher(t, netio.Config{ConnectTimeout: time.Minute}).Open(t.Context(), netio.Request{URL: signed(u)})
		wantNoSecret(t, err)
	})
	t.Run("proxy", func(t *testing.T) {
		proxy, err := url.Parse(signed(listen(t, "http", respond("HTTP/1.1 407 "+secret+"\r\n\r\n"+secret, hangUp))))
		if err != nil {
			t.Fatal(err)
		}
		f := newFetcher(t, netio.Config{})
		f.UseProxy(proxy)
		_, err = f.Open(t.Context(), netio.Request{URL: target})
		wantNoSecret(t, err)
	})
}

// wantNoSecret checks that err is an *Error that contains the secret in none of
// the forms in which it may be printed or logged.
func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	e := asError(t, err)
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "error", e, "cause", e.Err)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "error", e, "cause", e.Err)
	fmt.Fprintf(&logged, "%v %+v %#v %+v %q\n", e, e, e, *e, e.Detail)
	for cause := error(e); cause != nil; cause = errors.Unwrap(cause) {
		fmt.Fprintf(&logged, "%v %+v %#v\n", cause, cause, cause)
	}
	if e.Detail == "" || strings.Contains(logged.String(), secret) {
		t.Errorf("no text, or the secret in it:\n%s", &logged)
	}
}
