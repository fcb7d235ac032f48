package netio

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Request is the argument of [Fetcher.Open].
type Request struct {
	// URL must pass CheckURL with Config.AllowHTTP. Its query is sent
	// unchanged. Its userinfo is not sent.
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

// send sends r, follows redirects, and returns the first response that is no
// redirect. It does not use http.Client, which would send the signed URL in a
// Referer, turn userinfo into Basic credentials, and read the body of a
// redirect for as long as the server sends. Each hop is a new request here,
// checked like the first.
func (f *Fetcher) send(x *exchange, r Request) (*http.Response, error) {
	u, err := parseURL(r.URL, f.cfg.AllowHTTP)
	if err != nil {
		return nil, permanent(0, err.Error(), err)
	}
	for range 1 + maxRedirects {
		timer := f.startHopTimer(x)
		resp, err := f.transport.RoundTrip(f.newRequest(x, u, r))
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

// newRequest returns the request of one hop.
func (f *Fetcher) newRequest(x *exchange, u *url.URL, r Request) *http.Request {
	target := *u
	target.User = nil // not sent by the transport anyway
	h := make(http.Header)
	h.Set("User-Agent", f.cfg.UserAgent)
	// Without this field some servers compress, and the length, ranges and the
	// strong ETag are lost.
	h.Set("Accept-Encoding", "identity")
	h.Set("Range", fmt.Sprintf("bytes=%d-", r.Offset))
	// If-Match requires a strong ETag (RFC 9110 §13.1.1).
	if r.Offset > 0 && isStrong(r.Validator.ETag) {
		h.Set("If-Match", r.Validator.ETag)
	}
	req := &http.Request{
		Method: http.MethodGet, URL: &target, Host: target.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	return req.WithContext(x.ctx)
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
	to, err := resp.Location()
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
