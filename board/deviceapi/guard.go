package deviceapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// maxBody is the largest request body in bytes. The largest job that is valid,
// with a pre-signed URL, is a tenth of it.
const maxBody = 64 << 10

// guard refuses requests that were not made by somebody who may drive the
// updater. A browser on the board or in its network is such a somebody's
// machine but not his will, so two doors are closed to web pages:
//
//   - DNS rebinding: a page of evil.example lets that name resolve to 127.0.0.1
//     and is then of the same origin as this API. But its requests still say
//     "Host: evil.example", so only addresses and names of this listener pass.
//   - Cross-site requests: a page may send a form or a text/plain body anywhere
//     without asking. It may not send application/json, nor DELETE, before the
//     server agreed in a preflight (https://fetch.spec.whatwg.org/#http-cors-protocol),
//     and this one agrees to none.
type guard struct {
	host  string // of the configured address; empty: all addresses of the board
	token []byte // SHA-256 of the bearer token; nil: none is needed
}

func newGuard(addr, token string) guard {
	g := guard{host: hostname(addr)}
	if token != "" {
		g.token = digest(token)
	}
	return g
}

// admit looks at the head of a request. The answer is what to say when ok is
// false; these refusals are real HTTP statuses, because no handler was reached.
func (g guard) admit(r *http.Request) (why answer, ok bool) {
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	switch {
	case !g.isOurs(r):
		return refusal(http.StatusMisdirectedRequest, "MISDIRECTED: the Host header does not name this listener"), false
	case changes && !g.isAuthorized(r):
		return refusal(http.StatusUnauthorized, "UNAUTHORIZED: a bearer token is needed"), false
	case r.ContentLength > maxBody:
		return tooLarge(), false
	}
	return answer{}, true
}

// isOurs tells whether the request was addressed to this listener: by its
// configured name or address, by the address that the connection came in on, or
// by way of loopback. Ports do not matter: a forwarded one is another, and a
// rebinding page can choose its own. HTTP/1.0 may leave Host out, browsers never
// do.
func (g guard) isOurs(r *http.Request) bool {
	host := hostname(r.Host)
	if host == "" || host == "localhost" || host == g.host {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if addr.IsLoopback() {
		return true
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return local != nil && local.AddrPort().Addr().Unmap().WithZone("") == addr
}

// hostname is the host of "host:port" in one spelling: lower case, no brackets,
// no final dot, addresses as netip writes them.
func hostname(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isAuthorized compares digests: in constant time, and of constant length, so
// that an answer's timing tells nothing about the token (RFC 6750, section 2.1).
func (g guard) isAuthorized(r *http.Request) bool {
	if g.token == nil {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") &&
		subtle.ConstantTimeCompare(digest(strings.TrimSpace(token)), g.token) == 1
}

func digest(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// readJSON reads a body that has to be JSON and no larger than maxBody.
func readJSON(w http.ResponseWriter, r *http.Request) (body []byte, why answer, ok bool) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil, refusal(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE: Content-Type must be application/json"), false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooMuch := (*http.MaxBytesError)(nil); errors.As(err, &tooMuch) {
		return nil, tooLarge(), false
	}
	if err != nil {
		return nil, refusal(http.StatusBadRequest, "BAD_REQUEST: the body ends early"), false
	}
	return body, answer{}, true
}

func tooLarge() answer {
	return refusal(http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE: at most 64 KiB")
}
