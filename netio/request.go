package netio

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// A Request says what to ask for.
type Request struct {
	// URL passes CheckURL. Its query is sent as it stands. Its userinfo is not: otad sends no Authorization, next to which
	// S3 servers refuse a signed query.
	URL string
	// Offset is the first byte wanted: how many bytes are held.
	Offset int64
	// Size is the size of the whole object; 0: not known, and learned from the answer.
	Size int64
	// Validator is what the answer that began this object said of it; zero: nothing learned yet.
	Validator Validator
}

// size returns the size of the whole object as far as it is known before the answer, else 0.
func (r Request) size() int64 {
	if r.Size > 0 {
		return r.Size
	}
	return r.Validator.Total
}

// ask sends r, follows redirects, and returns the first answer that is not one. It goes below http.Client on purpose:
// the client adds a Referer holding the signed URL, makes Basic credentials of the URL's userinfo, and reads the body of
// a redirect for as long as the server likes. Here each hop is a request of our own making, checked like the first.
func (f *Fetcher) ask(x *exchange, r Request) (*http.Response, error) {
	u, err := parseURL(r.URL, f.cfg.AllowHTTP)
	if err != nil {
		return nil, refuse(0, err.Error(), err)
	}
	for range 1 + maxRedirects {
		late := f.limit(x)
		resp, err := f.transport.RoundTrip(f.newRequest(x, u, r))
		late.Stop()
		if err != nil {
			return nil, err
		}
		if !redirects(resp) {
			return resp, nil
		}
		resp.Body.Close()
		if u, err = f.redirected(resp); err != nil {
			return nil, err
		}
	}
	return nil, refuse(0, fmt.Sprintf("more than %d redirects", maxRedirects), nil)
}

// limit ends x when one hop takes longer than all its stages may together: connecting, a proxy's consent, the TLS
// handshake, the header. Each has a timeout of its own but the second, for which net/http waits a minute of its own
// choice, or, with SOCKS, for ever.
func (f *Fetcher) limit(x *exchange) *time.Timer {
	return time.AfterFunc(3*f.cfg.ConnectTimeout+f.cfg.HeaderTimeout, func() {
		x.cancel(&Error{Kind: Transient, Reason: ReasonTimeout, Detail: fmt.Sprintf("timeout %s", x.at())})
	})
}

// newRequest makes the request of one hop. Range is sent at offset 0 too: the answer then tells the total and proves
// that the origin does ranges.
func (f *Fetcher) newRequest(x *exchange, u *url.URL, r Request) *http.Request {
	bare := *u
	bare.User = nil // the transport would not send it either; so it cannot
	h := make(http.Header)
	h.Set("User-Agent", f.cfg.UserAgent)
	// Said aloud because some servers compress for those who say nothing, and lose length, ranges and the strong ETag.
	h.Set("Accept-Encoding", "identity")
	h.Set("Range", fmt.Sprintf("bytes=%d-", r.Offset))
	// If-Match and not If-Range, which S3 servers ignore. It takes a strong ETag (RFC 9110 §13.1.1).
	if r.Offset > 0 && isStrong(r.Validator.ETag) {
		h.Set("If-Match", r.Validator.ETag)
	}
	req := &http.Request{
		Method: http.MethodGet, URL: &bare, Host: bare.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	return req.WithContext(x.ctx)
}

// redirects reports whether resp sends us elsewhere. A redirect that names no place is an answer like any other.
func redirects(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// redirected returns where resp sends us, if we may go there.
func (f *Fetcher) redirected(resp *http.Response) (*url.URL, error) {
	to, err := resp.Location()
	if err != nil {
		return nil, refuse(resp.StatusCode, "redirect to what is not a URL", nil)
	}
	if resp.Request.URL.Scheme == "https" && to.Scheme != "https" {
		return nil, refuse(resp.StatusCode, "redirect from https to "+schemeName(to.Scheme)+" refused", errDowngrade)
	}
	if err := CheckURL(to.String(), f.cfg.AllowHTTP); err != nil {
		return nil, refuse(resp.StatusCode, "redirect refused: "+err.Error(), err)
	}
	return to, nil
}

var errDowngrade = errors.New("netio: redirect away from https")
