package netio

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
)

// nearness is how near to this board an address is. A redirect may lead away
// from the board, and never nearer to it: what listens there for the board or
// its link alone must not be reached on behalf of a server elsewhere.
type nearness int32

const (
	elsewhere nearness = iota // also in a private network
	onLink                    // link-local: 169.254.0.0/16, fe80::/10
	onBoard                   // loopback, or unspecified, which Linux connects to loopback
)

func nearnessOf(addr netip.Addr) nearness {
	switch addr = addr.Unmap().WithZone(""); {
	case addr.IsLoopback(), addr.IsUnspecified():
		return onBoard
	case addr.IsLinkLocalUnicast():
		return onLink
	}
	return elsewhere
}

// hop is one request of an exchange: what it may reach, and what it has reached.
// The context of the request contains it. Its fields do not change after newHop,
// but for the last four, which goroutines of the transport write.
type hop struct {
	own     bool       // to scheme, host and port of Request.URL, see exchange.visit
	local   bool       // the URL says loopback, by name or address
	literal netip.Addr // host of the URL, if it is an address or localhost; else zero
	proxied bool       // a proxy is dialled, and looks up the host
	limit   nearness   // at most; onBoard before the first redirect

	reached  atomic.Int32 // nearness of the farthest address that was dialled
	tunneled atomic.Bool  // the next TLS handshake is not with a proxy
	asked    atomic.Bool  // the server has requested a client certificate
	shown    atomic.Bool  // and has got one
}

// newHop returns the hop to u, through proxy unless that is nil.
func newHop(u *url.URL, own bool, proxy *url.URL, limit nearness) *hop {
	h := &hop{own: own, local: isLoopback(u.Hostname()), proxied: proxy != nil, limit: limit}
	h.tunneled.Store(proxy == nil || proxy.Scheme != "https")
	h.literal, _ = netip.ParseAddr(u.Hostname()) // zero for a name
	if h.local && !h.literal.IsValid() {
		h.literal = localhost[0]
	}
	h.reached.Store(int32(onBoard))
	if h.proxied {
		h.note(h.literal)
	}
	return h
}

type hopKey struct{}

func (h *hop) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, hopKey{}, h)
}

// hopOf returns the hop of a request's context.
func hopOf(ctx context.Context) *hop {
	h, _ := ctx.Value(hopKey{}).(*hop)
	return h
}

// note notes that addr is dialled; zero: not known.
func (h *hop) note(addr netip.Addr) {
	near := elsewhere
	if addr.IsValid() {
		near = nearnessOf(addr)
	}
	for {
		old := h.reached.Load()
		if old <= int32(near) || h.reached.CompareAndSwap(old, int32(near)) {
			return
		}
	}
}

// after returns the limit of the hop to which this one redirects.
func (h *hop) after() nearness { return min(h.limit, nearness(h.reached.Load())) }

// check returns why addr must not be dialled for h, or "".
func (h *hop) check(addr netip.Addr) string {
	near := nearnessOf(addr)
	switch {
	case h.local && near != onBoard:
		return fmt.Sprintf("the URL says loopback, and leads to %s", addr)
	case !h.local && near == onBoard:
		return fmt.Sprintf("the host leads to %s, which is this board: only a URL with localhost or 127.0.0.1 may", addr)
	case near > h.limit:
		return fmt.Sprintf("redirect to %s, which is only for this board and its link", addr)
	}
	return ""
}

// checkRedirect checks the address that a redirect with this status names. That
// of a name is checked when it is dialled.
func (h *hop) checkRedirect(status int) error {
	if !h.literal.IsValid() {
		return nil
	}
	if problem := h.check(h.literal); problem != "" {
		return permanent(status, "redirect refused: "+problem, nil)
	}
	return nil
}

// checkDialed is the ControlContext of the dialer: no lookup comes between it
// and the connection. An answer of a name server can be another one next time, so
// the error is Transient.
func checkDialed(ctx context.Context, _, addr string, _ syscall.RawConn) error {
	h := hopOf(ctx)
	if h == nil || h.proxied {
		return nil
	}
	to, err := netip.ParseAddrPort(addr)
	if err == nil {
		if problem := h.check(to.Addr()); problem != "" {
			return &Error{Kind: Transient, Reason: ReasonDNS, Detail: problem}
		}
	}
	h.note(to.Addr())
	return nil
}

// clientCertificate is called when the server requests a certificate: that of
// the job's own host, and neither a proxy nor the target of a redirect, is shown
// the one that read returns.
func clientCertificate(ctx context.Context, read func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	h := hopOf(ctx)
	if h == nil {
		return new(tls.Certificate), nil
	}
	h.asked.Store(true)
	if !h.own || !h.tunneled.Load() {
		return new(tls.Certificate), nil
	}
	c, err := read()
	h.shown.Store(err == nil && len(c.Certificate) > 0)
	return c, err
}
