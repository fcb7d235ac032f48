package netio

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Request is the argument of [Fetcher.Open].
type Request struct {
	// URL must pass CheckURL with Config.AllowHTTP. Its query is sent
	// unchanged, but for spaces and control characters, which are
	// percent-encoded. Its userinfo is sent as Basic credentials to its own
	// scheme, host and port.
	URL string
	// Offset is the first byte to download: the number of bytes stored so far.
	Offset int64
	// Size is the size of the whole object in bytes. If it is 0, it is taken
	// from Validator or from the response.
	Size int64
	// Validator is Body.Validator of the response that the stored bytes are
	// from. Zero: there is none.
	Validator Validator
}

// size returns the size of the object if it is known before the response, else
// 0.
func (r Request) size() int64 {
	if r.Size > 0 {
		return r.Size
	}
	return r.Validator.Total
}

// ifMatch returns the If-Match of r, or "" if there is none. It requires a
// strong ETag (RFC 9110 §13.1.1).
func (r Request) ifMatch() string {
	if etag := quoted(r.Validator.ETag); r.Offset > 0 && isStrong(etag) {
		return etag
	}
	return ""
}

// form is what a request leaves out, because the origin refused it before.
type form struct{ noIfMatch, noRange bool }

// simpler returns the form of the next request after e: without If-Match after a
// 412, since some servers refuse the ETag that they sent, and at offset 0
// without Range, where a server may refuse any range. It returns the same form
// if e stands.
func (how form) simpler(r Request, e *Error) form {
	switch e.Status {
	case http.StatusPreconditionFailed:
		how.noIfMatch = how.noIfMatch || r.ifMatch() != ""
	case http.StatusForbidden, http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented:
		how.noRange = how.noRange || r.Offset == 0 && (e.Kind == Permanent || e.Kind == Unsatisfiable)
	}
	return how
}

// send sends r, follows redirects, and returns the first response that is no
// redirect. It does not use http.Client, which would send the signed URL in a
// Referer and read the body of a redirect for as long as the server sends. Each
// hop is a new request here, checked like the first.
//
// Credentials are sent as long as no redirect has led to another scheme, host or
// port, and not again after one has led back.
func (f *Fetcher) send(x *exchange, r Request, how form) (*http.Response, error) {
	u, err := parseURL(r.URL, f.cfg.AllowHTTP)
	if err != nil {
		return nil, permanent(0, err.Error(), err)
	}
	user, own, limit, status := u.User, true, onBoard, 0
	for range 1 + maxRedirects {
		own = x.visit(originOf(u)) && own
		req := f.newRequest(u, r, how)
		if own {
			f.authorize(req.Header, user)
		}
		transport := f.transportFor(u.Scheme)
		proxy, err := transport.Proxy(req)
		if err == nil && proxy != nil {
			x.proxy = originOf(proxy)
		}
		x.hop = newHop(u, own, proxy, limit)
		if status != 0 {
			if err := x.hop.checkRedirect(status); err != nil {
				return nil, err
			}
		}
		req = req.WithContext(x.hop.in(x.ctx))
		timer := f.startHopTimer(x)
		resp, err := transport.RoundTrip(req)
		timer.Stop()
		if err != nil {
			return nil, err
		}
		if !isRedirect(resp) {
			return resp, nil
		}
		resp.Body.Close()
		if u, err = f.redirectTarget(resp); err != nil {
			return nil, err
		}
		limit, status = x.hop.after(), resp.StatusCode
	}
	return nil, permanentf(0, "more than %d redirects", maxRedirects)
}

// startHopTimer starts a timer that cancels x if one hop takes longer than its
// four steps may take together: dial, CONNECT to a proxy, TLS handshake,
// header. It is there for the second step: net/http waits one minute for an
// HTTP proxy, and for a SOCKS proxy without limit.
func (f *Fetcher) startHopTimer(x *exchange) *time.Timer {
	return time.AfterFunc(3*f.cfg.ConnectTimeout+f.cfg.HeaderTimeout, func() {
		x.cancel(&Error{Kind: Transient, Reason: ReasonTimeout, Detail: fmt.Sprintf("timeout %s", x.at())})
	})
}

// newRequest returns the request of one hop, without its context.
func (f *Fetcher) newRequest(u *url.URL, r Request, how form) *http.Request {
	target := *u
	target.User = nil
	h := make(http.Header)
	h.Set("User-Agent", f.cfg.UserAgent)
	h.Set("Accept", "*/*")
	// Without this field some servers compress, and the length, ranges and the
	// strong ETag are lost.
	h.Set("Accept-Encoding", "identity")
	if !how.noRange {
		h.Set("Range", fmt.Sprintf("bytes=%d-", r.Offset))
	}
	if etag := r.ifMatch(); etag != "" && !how.noIfMatch {
		h.Set("If-Match", etag)
	}
	return &http.Request{
		Method: http.MethodGet, URL: &target, Host: hostField(u), Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// defaultPorts are those of the schemes of origins and proxies.
var defaultPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// originOf returns scheme, host and port of u, for comparisons and error texts.
func originOf(u *url.URL) string {
	port := cmp.Or(u.Port(), defaultPorts[u.Scheme])
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// hostField returns the Host of a request for u. With a default port in it, some
// servers do not find the virtual host, and signatures do not match.
func hostField(u *url.URL) string {
	if u.Port() == defaultPorts[u.Scheme] {
		return strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return u.Host
}

// authorize adds the credentials to the header of a request. Fields that this
// package sets itself, but for Accept, cannot be replaced.
func (f *Fetcher) authorize(h http.Header, user *url.Userinfo) {
	if user != nil {
		password, _ := user.Password()
		(&http.Request{Header: h}).SetBasicAuth(user.Username(), password)
	}
	for name, values := range f.cfg.Header {
		name = http.CanonicalHeaderKey(name)
		if h.Get(name) == "" || name == "Accept" || name == "Authorization" {
			h[name] = values
		}
	}
}

// isRedirect reports whether resp is a redirect with a Location. One without is
// checked like any other response.
func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// redirectTarget returns the URL to which resp redirects, or an error if it
// must not be followed.
func (f *Fetcher) redirectTarget(resp *http.Response) (*url.URL, error) {
	to, err := resp.Request.URL.Parse(escapeQuery(resp.Header.Get("Location")))
	if err != nil {
		return nil, permanent(resp.StatusCode, "redirect to what is not a URL", nil)
	}
	if resp.Request.URL.Scheme == "https" && to.Scheme != "https" {
		return nil, permanent(resp.StatusCode,
			"redirect from https to "+quoteScheme(to.Scheme)+" refused", errDowngrade)
	}
	if err := CheckURL(to.String(), f.cfg.AllowHTTP); err != nil {
		return nil, permanent(resp.StatusCode, "redirect refused: "+err.Error(), err)
	}
	return to, nil
}

var errDowngrade = errors.New("netio: redirect away from https")
