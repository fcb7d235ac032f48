package netio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	"otad/netio"
	"otad/netio/origintest"
)

// Example downloads an object although the first connection is reset.
func Example() {
	object := origintest.Object{Size: 3_000_000, Seed: 1}
	origin, err := origintest.Start(origintest.Config{
		Object: object,
		Script: []*origintest.Rule{origintest.On(1).ResetAt(1_000_000)},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer origin.Close()

	fetcher, err := netio.New(netio.Config{UserAgent: "example/1.0"})
	if err != nil {
		log.Fatal(err)
	}
	defer fetcher.Close()

	var stored bytes.Buffer // on a board: a file
	var validator netio.Validator
	download := func() error {
		body, err := fetcher.Open(context.Background(), netio.Request{
			URL: origin.URL(), Offset: int64(stored.Len()), Validator: validator,
		})
		if err != nil {
			return err
		}
		defer body.Close()
		if body.RangeIgnored {
			stored.Reset()
		}
		validator = body.Validator
		_, err = io.Copy(&stored, body)
		return err
	}
	for {
		err := download()
		if err == nil {
			break
		}
		var e *netio.Error
		if !errors.As(err, &e) || e.Kind != netio.Transient {
			log.Fatal(err)
		}
		// In production, wait here: e.Wait, or else a back-off.
		fmt.Printf("%s at byte %d\n", e.Reason, stored.Len())
	}
	fmt.Println(stored.Len(), "bytes stored,", origin.BytesServed(), "sent by the origin")
	fmt.Println("range of the second request:", origin.Requests()[1].Range)

	// Output:
	// reset at byte 1000000
	// 3000000 bytes stored, 3000000 sent by the origin
	// range of the second request: bytes=1000000-
}
