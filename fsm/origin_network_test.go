package fsm_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"otad/fsm"
	"otad/netio"
	"otad/netio/origintest"
)

func TestRedirect(t *testing.T) {
	moved := slices.Repeat([]string{"0-: 302"}, 11)
	rows := []row{
		{
			name: "ten in a row", script: script(span(1, 10).Redirect(302, "/moved.bin")),
			requests: append(slices.Clone(moved[:10]), "0-: 206"),
		},
		{
			name: "eleven in a row", script: script(span(1, 11).Redirect(302, "/moved.bin"), from(12).Redirect(302, "/again")),
			fails: "DOWNLOAD_FAILED: more than 10 redirects", requests: moved,
		},
		{
			name: "in a circle", script: script(always().Redirect(302, "/package.bin")),
			fails: "DOWNLOAD_FAILED: more than 10 redirects", requests: moved,
		},
		{
			// The signature is made anew each time: a resume begins at the
			// job's URL.
			name: "to a signed URL", script: script(
				always().Path("/package.bin").Redirect(302, "/bucket/key?X-Amz-Signature=abc"), on(2).ResetAt(350_000)),
			requests: []string{"0-: 302", "0-: 206", "350000- if-match: 302", "350000- if-match: 206"},
			retries:  "reset 1", took: time.Second,
		},
		{
			name: "to a signed URL that has expired", script: script(
				always().Path("/package.bin").Redirect(307, "/bucket/key?X-Amz-Signature=abc"), always().Path("/bucket/key").ExpiredAWS()),
			fails: "DOWNLOAD_FAILED: URL_EXPIRED", requests: []string{"0-: 307", "0-: 403"},
		},
		{
			name: "to another host", script: script(always().Path("/package.bin").Redirect(302, "http://localhost:8080/other.bin")),
			requests: []string{"0-: 302", "0-: 206"},
		},
		{
			name: "to plain http elsewhere", script: script(always().Path("/package.bin").Redirect(302, "http://cdn.test/other.bin")),
			fails: "DOWNLOAD_FAILED: redirect refused: plain http is only for loopback", requests: []string{"0-: 302"},
		},
		{
			name: "to plain http elsewhere, allowed", script: script(always().Path("/package.bin").Redirect(302, "http://cdn.test/other.bin")),
			net:      func(c *netio.Config, _ *origintest.Origin) { c.AllowHTTP = true },
			requests: []string{"0-: 302", "0-: 206"},
		},
		{
			name: "to no web address", script: script(always().Redirect(302, "ftp://cdn.test/other.bin")),
			fails: `DOWNLOAD_FAILED: redirect refused: URL scheme is "ftp": want https`, requests: []string{"0-: 302"},
		},
		{
			name: "from https to http", origin: origintest.Config{TLS: &origintest.TLS{}}, net: trusting,
			script: script(always().Redirect(302, "http://127.0.0.1/other.bin")),
			fails:  `DOWNLOAD_FAILED: redirect from https to "http" refused`, requests: []string{"0-: 302"},
		},
		{
			name: "from https to another https", origin: origintest.Config{TLS: &origintest.TLS{}}, net: trusting,
			script:   script(always().Path("/package.bin").Redirect(302, "https://localhost/other.bin")),
			requests: []string{"0-: 302", "0-: 206"},
		},
	}
	for _, code := range []int{301, 303, 307, 308} {
		rows = append(rows, row{
			name: fmt.Sprint(code), script: script(always().Path("/package.bin").Redirect(code, "elsewhere/other.bin")),
			requests: []string{fmt.Sprintf("0-: %d", code), "0-: 206"},
		})
	}
	prove(t, rows)
}

// trusting makes otad trust the origin's authority.
func trusting(c *netio.Config, o *origintest.Origin) { c.CAFile = o.CAFile() }

// failing makes the dials first to last, counted from 1, fail with err; last 0:
// all from first on.
func failing(first, last int, err error) func(dialFunc) dialFunc {
	return func(next dialFunc) dialFunc {
		n := 0
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			if n++; n >= first && (last == 0 || n <= last) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: err}
			}
			return next(ctx, network, addr)
		}
	}
}

func TestOriginOutOfReach(t *testing.T) {
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	unknown := &net.DNSError{Err: "no such host", Name: "origin.test", IsNotFound: true}
	prove(t, []row{
		{
			name: "refused for a while", script: script(on(1).ResetAt(350_000).DownFor(2500 * time.Millisecond)),
			requests: []string{"0-: 206", "350000- if-match: 206"},
			retries:  "connect 1, reset 1", took: 3 * time.Second,
		},
		{
			name: "refused for too long", dial: failing(1, 0, refused),
			fails:   "DOWNLOAD_FAILED: connection refused" + atPort80 + " (gave up after 3 retries without progress)",
			retries: "connect 3", took: 7 * time.Second,
		},
		{
			name: "no such host, three times", dial: failing(1, 3, unknown),
			requests: []string{"0-: 206"},
			retries:  "dns 3", took: 7 * time.Second,
		},
		{
			name: "no such host", dial: failing(1, 0, unknown),
			fails:   "DOWNLOAD_FAILED: no such host: origin.test" + atPort80 + " (gave up after 3 retries without progress)",
			retries: "dns 3", took: 7 * time.Second,
		},
		{
			name: "no answer to a connection", dial: failing(1, 1, os.NewSyscallError("connect", syscall.ETIMEDOUT)),
			requests: []string{"0-: 206"},
			retries:  "timeout 1", took: time.Second,
		},
	})
}

// A board that boots before its modem must not end in Failed, and must not
// spend its retries. It tries every 3.5 s here.
func TestNoNetwork(t *testing.T) {
	for name, err := range map[string]error{
		"no answer from a name server": &net.DNSError{Err: "i/o timeout", Name: "origin.test", IsTimeout: true, IsTemporary: true},
		"no route to the network":      os.NewSyscallError("connect", syscall.ENETUNREACH),
		"no route to the host":         os.NewSyscallError("connect", syscall.EHOSTUNREACH),
	} {
		fails := "DOWNLOAD_FAILED: no route to the origin"
		if name == "no answer from a name server" {
			fails = "DOWNLOAD_FAILED: " + name
		}
		t.Run(name, func(t *testing.T) {
			prove(t, []row{
				{name: "yet", dial: failing(1, 5, err), requests: []string{"0-: 206"}, took: 5 * 3500 * time.Millisecond},
				{
					name: "in the middle", dial: failing(2, 6, err), script: script(on(1).ResetAt(350_000)),
					requests: []string{"0-: 206", "350000- if-match: 206"},
					retries:  "reset 1", took: time.Second + 5*3500*time.Millisecond,
				},
				{
					// 172 looks until ten minutes are over, and then the
					// retries.
					name: "for longer than is waited for", dial: failing(1, 0, err),
					fails:   fails,
					retries: "offline 3", took: 172*3500*time.Millisecond + 7*time.Second,
				},
				{
					name: "and no patience", dial: failing(1, 0, err), cfg: func(c *fsm.Config) { c.NetworkWait = 0 },
					fails:   fails,
					retries: "offline 3", took: 7 * time.Second,
				},
				{
					name: "and no patience, for a moment", dial: failing(1, 2, err), cfg: func(c *fsm.Config) { c.NetworkWait = 0 },
					requests: []string{"0-: 206"},
					retries:  "offline 2", took: 3 * time.Second,
				},
			})
		})
	}
}

func TestCertificate(t *testing.T) {
	now := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC) // as a bubble begins
	with := func(c origintest.TLS) origintest.Config { return origintest.Config{TLS: &c} }
	builtNextYear := func(c *netio.Config, o *origintest.Origin) {
		trusting(c, o)
		c.BuildTime = now.AddDate(1, 0, 0)
	}
	stranger := origintest.NewConfig(t, origintest.Config{TLS: &origintest.TLS{}, InMemory: true}).CAFile()
	const clock = "; likely because the board's clock is wrong: it says 2000-01-01, which is before this program was built (2001-01-01)"
	prove(t, []row{
		{name: "good", origin: with(origintest.TLS{}), net: trusting, requests: []string{"0-: 206"}},
		{
			name: "good, and the connection breaks off", origin: with(origintest.TLS{}), net: trusting, script: script(on(1).ResetAt(350_000)),
			requests: []string{"0-: 206", "350000- if-match: 206"}, retries: "reset 1", took: time.Second,
		},
		{
			name: "for another host", origin: with(origintest.TLS{Hosts: []string{"elsewhere.test"}}), net: trusting,
			fails: "DOWNLOAD_FAILED: the server's certificate is for another host", retries: "tls 3", took: 7 * time.Second,
		},
		{
			name: "of an unknown authority", origin: with(origintest.TLS{}), net: func(c *netio.Config, _ *origintest.Origin) { c.CAFile = stranger },
			fails: "DOWNLOAD_FAILED: the server's certificate is signed by an unknown authority", retries: "tls 3", took: 7 * time.Second,
		},
		{
			name: "expired", origin: with(origintest.TLS{NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(-1, 0, 0)}), net: trusting,
			fails: "DOWNLOAD_FAILED: the server's certificate is expired or not yet valid", retries: "tls 3", took: 7 * time.Second,
		},
		{
			name: "not yet valid", origin: with(origintest.TLS{NotBefore: now.AddDate(1, 0, 0)}), net: trusting,
			fails: "DOWNLOAD_FAILED: the server's certificate is expired or not yet valid", retries: "tls 3", took: 7 * time.Second,
		},
		{
			name: "not yet valid by a clock that is wrong", origin: with(origintest.TLS{NotBefore: now.AddDate(1, 0, 0)}), net: builtNextYear,
			fails: "DOWNLOAD_FAILED: the server's certificate is expired or not yet valid" + clock, retries: "tls 3", took: 172*3500*time.Millisecond + 7*time.Second,
		},
		{
			name: "not yet valid by a clock that is wrong, and no patience", origin: with(origintest.TLS{NotBefore: now.AddDate(1, 0, 0)}), net: builtNextYear,
			cfg:   func(c *fsm.Config) { c.NetworkWait = 0 },
			fails: "DOWNLOAD_FAILED: the server's certificate is expired or not yet valid" + clock, retries: "tls 3", took: 7 * time.Second,
		},
		{
			name: "not yet valid until the clock is set", origin: with(origintest.TLS{NotBefore: now.Add(5 * time.Minute)}),
			net: func(c *netio.Config, o *origintest.Origin) {
				trusting(c, o)
				c.BuildTime = now.Add(5 * time.Minute)
			},
			requests: []string{"0-: 206"}, took: 86 * 3500 * time.Millisecond,
		},
		{
			name: "asked of the client, who has one", origin: with(origintest.TLS{RequireClientCert: true}),
			net: func(c *netio.Config, o *origintest.Origin) {
				trusting(c, o)
				c.ClientCert, c.ClientKey = o.ClientFiles()
			},
			requests: []string{"0-: 206"},
		},
	})
}

func TestHandshakeIsCut(t *testing.T) {
	prove(t, []row{
		{
			name: "twice", origin: origintest.Config{TLS: &origintest.TLS{}, CutConnections: 2}, net: trusting,
			requests: []string{"0-: 206"},
			retries:  "tls 2", took: 3 * time.Second,
		},
		{
			name: "each time", origin: origintest.Config{TLS: &origintest.TLS{}, CutConnections: 1000}, net: trusting,
			fails:   "DOWNLOAD_FAILED: TLS broke in the TLS handshake" + atPort443 + " (gave up after 3 retries without progress)",
			retries: "tls 3", took: 7 * time.Second,
		},
		{
			name: "because TLS 1.1 is all that is spoken", origin: origintest.Config{TLS: &origintest.TLS{MaxVersion: 0x0302}}, net: trusting,
			fails:   "DOWNLOAD_FAILED: TLS broke in the TLS handshake",
			retries: "tls 3", took: 7 * time.Second,
		},
	})
}
