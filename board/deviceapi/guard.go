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
	"os"
	"slices"
	"strings"
)

// maxBody is the largest request body in bytes. The largest valid job, with a
// pre-signed URL, is a tenth of it.
const maxBody = 64 << 10

// guard refuses requests from clients that must not control the updater. A web
// page opened in a browser on this network could send requests to the API
// without the user knowing. Two kinds of such requests are refused:
//
//   - DNS rebinding: a page of evil.example makes that name resolve to
//     127.0.0.1 and then has the same origin as this API. Its requests still
//     have "Host: evil.example", so only addresses and names of this listener
//     are accepted.
//   - Cross-site requests: a page may send a form or a text/plain body to any
//     host. It may send application/json or DELETE only after the server has
//     agreed in a preflight (https://fetch.spec.whatwg.org/#http-cors-protocol),
//     and this server never agrees. Browsers also send from where a request
//     comes, in Sec-Fetch-Site or Origin: a command of another origin is
//     refused whatever its type is.
type guard struct {
	hosts  []string // of the configured addresses; empty: all addresses of the board
	token  []byte   // SHA-256 of the bearer token; nil: none is needed
	origin *http.CrossOriginProtection
}

func newGuard(addrs []string, token string) guard {
	g := guard{origin: http.NewCrossOriginProtection()}
	for _, addr := range addrs {
		g.hosts = append(g.hosts, hostname(addr))
	}
	if token != "" {
		g.token = digest(token)
	}
	return g
}

// check checks the header of a request. If ok is false, refused is the reply,
// with a real HTTP status because no handler was reached.
func (g guard) check(r *http.Request) (refused reply, ok bool) {
	isCommand := r.Method != http.MethodGet && r.Method != http.MethodHead
	switch {
	case !g.isHostAllowed(r) && !g.isScrape(r):
		return refusal(http.StatusMisdirectedRequest, "MISDIRECTED: the Host header does not name this listener"), false
	case g.origin.Check(r) != nil:
		return refusal(http.StatusForbidden, "FORBIDDEN: a web page of another origin has sent it"), false
	case isCommand && !g.isAuthorized(r):
		return refusal(http.StatusUnauthorized, "UNAUTHORIZED: a bearer token is needed"), false
	case r.ContentLength > maxBody:
		return tooLarge(), false
	}
	return reply{}, true
}

// isHostAllowed reports whether the Host header names this listener: its
// configured name or address, the local address of the connection, or loopback.
// Ports are not compared: a forwarded port differs, and a rebinding page can
// choose its own. HTTP/1.0 clients may omit Host, browsers never do. No browser
// connects to a Unix socket.
func (g guard) isHostAllowed(r *http.Request) bool {
	host := hostname(r.Host)
	if host == "" || host == "localhost" || slices.Contains(g.hosts, host) || socketOf(r) != "" {
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

// isScrape reports whether the request is for the metrics on a listener that has
// all addresses of the board: scrapers use many names for it. The metrics hold
// no secret, and reading them changes nothing.
func (g guard) isScrape(r *http.Request) bool {
	isRead := r.Method == http.MethodGet || r.Method == http.MethodHead
	return isRead && r.URL.Path == metricsPath && slices.ContainsFunc(g.hosts, func(host string) bool {
		addr, err := netip.ParseAddr(host)
		return host == "" || err == nil && addr.IsUnspecified()
	})
}

// hostname returns the host of "host:port" in one form: lower case, without
// brackets or final dot, addresses as netip writes them.
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

// isAuthorized compares digests of a constant length in constant time, so the
// time of a reply does not depend on the token (RFC 6750, section 2.1).
func (g guard) isAuthorized(r *http.Request) bool {
	if g.token == nil || isRestricted(socketOf(r)) {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") &&
		subtle.ConstantTimeCompare(digest(strings.TrimSpace(token)), g.token) == 1
}

// socketOf returns the path of the Unix socket that the request came over, or "".
func socketOf(r *http.Request) string {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok {
		return local.Name
	}
	return ""
}

// isRestricted reports whether the kernel lets only some users connect to the
// socket at path: then its mode takes the place of the token.
func isRestricted(path string) bool {
	if path == "" {
		return false
	}
	st, err := os.Stat(path)
	return err == nil && st.Mode().Perm()&0o002 == 0
}

func digest(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// readJSON reads a body that must be declared as JSON and be at most maxBody
// long. If ok is false, refused is the reply.
func readJSON(w http.ResponseWriter, r *http.Request) (body []byte, refused reply, ok bool) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return nil, refusal(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE: Content-Type must be application/json"), false
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return nil, tooLarge(), false
	}
	if err != nil {
		return nil, refusal(http.StatusBadRequest, "BAD_REQUEST: the body ends early"), false
	}
	return body, reply{}, true
}

func tooLarge() reply {
	return refusal(http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE: at most 64 KiB")
}
