package app

import (
	"context"
	"errors"

	"otad/board/deviceapi"
)

// ask returns the progress of the daemon at the first of the addresses where one
// answers. If none does, the error matches deviceapi.ErrNotServing, or is that
// of an address where one may be, such as a socket of another group.
func ask(ctx context.Context, addrs []string) (p deviceapi.Progress, err error) {
	problem := deviceapi.ErrNotServing
	for _, addr := range addrs {
		if p, err = deviceapi.Ask(ctx, reachable(addr)); err == nil {
			return p, nil
		}
		if !errors.Is(err, deviceapi.ErrNotServing) {
			problem = err
		}
	}
	return p, problem
}
