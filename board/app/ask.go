package app

import (
	"context"
	"errors"
	"net"

	"otad/board/deviceapi"
)

// ask returns the progress of the daemon at the first of the addresses where one
// answers. If none does, the error matches deviceapi.ErrNotServing, or is that
// of an address where one may be, such as a socket of another group.
func ask(ctx context.Context, addrs []string) (p deviceapi.Progress, err error) {
	problem := deviceapi.ErrNotServing
	for _, addr := range addrs {
		if p, err = askOne(ctx, addr); err == nil {
			return p, nil
		}
		if !errors.Is(err, deviceapi.ErrNotServing) {
			problem = err
		}
	}
	return p, problem
}

// askOne asks the daemon that listens on addr. One that listens on all addresses
// is asked on both loopback addresses: the name localhost may lead elsewhere.
func askOne(ctx context.Context, addr string) (deviceapi.Progress, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "" && !net.ParseIP(host).IsUnspecified() {
		return deviceapi.Ask(ctx, addr)
	}
	p, err := deviceapi.Ask(ctx, net.JoinHostPort("127.0.0.1", port))
	if err == nil {
		return p, nil
	}
	if p, err := deviceapi.Ask(ctx, net.JoinHostPort("::1", port)); err == nil {
		return p, nil
	}
	return p, err // a board without IPv6 fails in another way than one without a daemon
}
