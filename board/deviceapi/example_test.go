package deviceapi_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"

	"otad/board/deviceapi"
	"otad/fsm"
)

// Serve the API of an updater, and ask it for its progress as "otad status"
// does.
func Example() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr, logger := l.Addr().String(), slog.New(slog.DiscardHandler)
	handler := deviceapi.New(deviceapi.Config{
		Updater: &updater{snapshot: fsm.Snapshot{State: fsm.Idle, Message: "Updater ready"}}, // in otad a *fsm.Updater
		Addrs:   []string{addr},
		Log:     logger,
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- deviceapi.Serve(ctx, l, handler, logger) }()

	p, err := deviceapi.Ask(ctx, addr)
	fmt.Println(p.Stage, p.Message, err)
	stop()
	fmt.Println(<-ended)
	// Output:
	// idle Updater ready <nil>
	// <nil>
}
