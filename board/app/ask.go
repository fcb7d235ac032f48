package app

import (
	"context"
	"errors"
	"net"

	"otad/board/deviceapi"
)

// ask returns the progress of the daemon at the first of the addresses where one
// answers that serves stateDir, an identity; "" for any. If none does, the error
// is that of an address where one may be, such as a socket of another group, or
// matches deviceapi.ErrOtherStateDir, or deviceapi.ErrNotServing.
func ask(ctx context.Context, addrs []string, stateDir string) (p deviceapi.Progress, err error) {
	problem := deviceapi.ErrNotServing
	for _, addr := range addrs {
		p, err = askOne(ctx, addr, stateDir)
		switch {
		case err == nil:
			return p, nil
		case errors.Is(err, deviceapi.ErrNotServing):
		case !errors.Is(err, deviceapi.ErrOtherStateDir) || errors.Is(problem, deviceapi.ErrNotServing):
			problem = err
		}
	}
	return deviceapi.Progress{}, problem
}

// askOne asks the daemon that listens on addr. One that listens on all addresses
// is asked on both loopback addresses: the name localhost may lead elsewhere.
func askOne(ctx context.Context, addr, stateDir string) (deviceapi.Progress, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "" && !net.ParseIP(host).IsUnspecified() {
		return deviceapi.AskServing(ctx, addr, stateDir)
	}
	p, err := deviceapi.AskServing(ctx, net.JoinHostPort("127.0.0.1", port), stateDir)
	if err == nil {
		return p, nil
	}
	if p, err := deviceapi.AskServing(ctx, net.JoinHostPort("::1", port), stateDir); err == nil {
		return p, nil
	}
	return p, err // a board without IPv6 fails in another way than one without a daemon
}
