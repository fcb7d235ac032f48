package netio

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// dialStagger is how long one address of a host may be silent before the next
// one is dialled too (RFC 8305 §5 allows up to 2 s). Most connections over slow
// links are made within it, so that they are the only ones.
const dialStagger = time.Second

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// dial connects to addr within ConnectTimeout. Each Open begins with the next
// address of the host: one that swallows packets, or behind which no server
// works, must not be the first one each time.
func (f *Fetcher) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.ConnectTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := f.addressesOf(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return f.cfg.Dial(ctx, network, addr)
	}
	first := int(f.opens.Load() - 1)
	addrs := make([]string, len(ips))
	for i := range ips {
		addrs[i] = net.JoinHostPort(ips[(first+i)%len(ips)].Unmap().String(), port)
	}
	return f.dialAny(ctx, network, addrs)
}

// addressesOf returns the addresses of host, none if host itself is dialled.
func (f *Fetcher) addressesOf(ctx context.Context, host string) ([]netip.Addr, error) {
	if isLocalhost(host) {
		return localhost, nil
	}
	if _, err := netip.ParseAddr(host); err == nil || f.cfg.Lookup == nil {
		return nil, nil
	}
	return f.cfg.Lookup(ctx, host)
}

// localhost are the addresses of that name. No resolver is asked for them, whose
// answer could lead elsewhere (RFC 6761 §6.3).
var localhost = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

func isLocalhost(host string) bool { return strings.EqualFold(host, "localhost") }

// ListenAddress returns addr, a host and a port, with 127.0.0.1 in place of the
// name localhost: who listens on what a resolver answers may be open to all.
func ListenAddress(addr string) string {
	if host, port, err := net.SplitHostPort(addr); err == nil && isLocalhost(host) {
		return net.JoinHostPort(localhost[0].String(), port)
	}
	return addr
}

// DialContext dials like a [net.Dialer], but the name localhost as 127.0.0.1, or
// else as ::1. It may be called from any goroutine.
func DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !isLocalhost(host) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(localhost[0].String(), port))
	if err == nil {
		return conn, nil
	}
	conn, err6 := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(localhost[1].String(), port))
	if err6 == nil {
		return conn, nil
	}
	return nil, err // a board without IPv6 fails in another way than one without a server
}

// dialAny returns the first connection to one of addrs. It dials the next one
// when one has failed, or is silent for dialStagger.
func (f *Fetcher) dialAny(ctx context.Context, network string, addrs []string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result)
	start := func(addr string) {
		conn, err := f.cfg.Dial(ctx, network, addr)
		select {
		case results <- result{conn, err}:
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
		}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	var err error
	for left := len(addrs); left > 0; {
		select {
		case <-next.C:
			if len(addrs) > 0 {
				go start(addrs[0])
				addrs = addrs[1:]
				next.Reset(dialStagger)
			}
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			// Without a route for one family, the error of the other one counts.
			if err == nil || isAny(err, unreachable...) {
				err = r.err
			}
			left--
			next.Reset(0)
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		}
	}
	return nil, err
}

// unreachable are the errors of a host to which there is no route.
var unreachable = []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN}
