package origintest_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/netio/origintest"
)

func TestRateIsForTheWholeLink(t *testing.T) {
	for name, clients := range map[string]int{"one connection": 1, "four connections": 4} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := origintest.NewConfig(t, origintest.Config{
					Object: origintest.Object{Size: 4 << 20}, InMemory: true,
					Link:  origintest.Link{BytesPerSecond: 1 << 20},
					Allow: origintest.TwoConnections,
				})
				begin := time.Now()
				done := make(chan struct{})
				for range clients {
					c := dial(t, o)
					go func() {
						c.get("bytes=0-1048575", "Connection: close")
						c.rest()
						done <- struct{}{}
					}()
				}
				for range clients {
					<-done
				}
				want := time.Duration(clients) * time.Second
				if got := time.Since(begin); got < want-50*time.Millisecond || got > want+50*time.Millisecond {
					t.Errorf("%d MiB took %v, want %v", clients, got, want)
				}
			})
		})
	}
}

func TestResetEvery(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, config origintest.Config) {
		config.Object, config.Link = origintest.Object{Size: 1 << 20, Seed: 4}, origintest.Link{ResetEvery: 50_000}
		o := origintest.NewConfig(t, config)
		for range 3 {
			c := dial(t, o)
			c.get("bytes=0-")
			got, err := c.rest()
			if len(got) != 50_000 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%d bytes, then %v; want 50000 and a reset", len(got), err)
			}
			head, _, _ := strings.Cut(string(got), "\r\n\r\n")
			requests := o.Requests()
			if n := requests[len(requests)-1].BodyBytes; n != int64(50_000-len(head)-4) {
				t.Errorf("recorded %d bytes of body, want %d", n, 50_000-len(head)-4)
			}
		}
	})
}
