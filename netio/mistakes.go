package netio

import (
	"crypto/tls"
	"errors"
	"strings"
)

const portIsTLS = "this port is https, the URL is http"

// mistakes are the errors that show what is set up wrong. The standard library
// has no types for them.
var mistakes = []struct{ text, words string }{
	{`malformed HTTP response "\x15\x03`, portIsTLS},                         // a TLS alert
	{`malformed HTTP response "\x00\x00`, "the server supports HTTP/2 only"}, // a frame
	{"tls: no application protocol", "the server supports HTTP/2 only"},
	{"tls: no renegotiation", "the server requires TLS renegotiation, which is not supported"},
	{"tls: protocol version not supported", noVersion},
	{"tls: server selected unsupported protocol version", noVersion},
	{"tls: handshake failure", noCipher},
	{"tls: insufficient security level", noCipher},
	{"tls: server chose an unconfigured cipher suite", noCipher},
	{`unsupported transfer encoding: "identity"`, "Transfer-Encoding: identity, which HTTP/1.1 does not have any more"},
}

const (
	noVersion = "the server has no version of TLS that is allowed (-tls-min)"
	noCipher  = "the server may have only cipher suites that are refused: CBC, or a key exchange without ECDHE"
)

// mistakeWithCertificate returns what the server's alert is about once it has
// requested a client certificate: that comes after the choice of version and
// suite. It returns "" for an alert of another kind.
func (x *exchange) mistakeWithCertificate(alert string) string {
	about := strings.Contains(alert, "certificate") || strings.Contains(alert, "handshake failure")
	switch {
	case !about || x.hop == nil || !x.hop.asked.Load():
		return ""
	case x.hop.shown.Load():
		return "the server does not accept the client certificate"
	case x.hop.own:
		return "the server requires a client certificate (-client-cert)"
	}
	return "the server requires a client certificate, which only the host of the job's URL is shown"
}

// withoutCertificate returns what a connection that is lost before the answer may
// be about: with TLS 1.3 the client has sent its request when the server refuses
// its certificate, and the alert can be lost.
func (x *exchange) withoutCertificate(at stage) string {
	if at == requesting && x.hop != nil && x.hop.asked.Load() && !x.hop.shown.Load() {
		return ": the server has requested a client certificate"
	}
	return ""
}

// mistakeOf returns the words for a mistake that err shows, after a colon, or "".
func (x *exchange) mistakeOf(err error) string {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/" {
		return ": this port is http, the URL is https"
	}
	if words := x.mistakeWithCertificate(alertOf(err)); words != "" {
		return ": " + words
	}
	for _, m := range mistakes {
		if strings.Contains(err.Error(), m.text) {
			return ": " + m.words
		}
	}
	return ""
}
