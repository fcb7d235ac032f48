package netio_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/netio"
)

// addresses is a host with several addresses, in memory.
type addresses struct {
	list   []string
	silent map[string]bool  // swallow packets
	fail   map[string]error // fail at once
	slow   time.Duration    // until a connection is made
	origin *origin

	mu     sync.Mutex
	dialed []string
}

func (a *addresses) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	if host != "origin.test" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var all []netip.Addr
	for _, s := range a.list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all, nil
}

func (a *addresses) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	a.mu.Lock()
	a.dialed = append(a.dialed, host)
	a.mu.Unlock()
	if err := a.fail[host]; err != nil {
		return nil, err
	}
	wait := a.slow
	if a.silent[host] {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	return a.origin.dial(ctx, network, addr)
}

// taken returns the addresses dialled since its last call.
func (a *addresses) taken() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	dialed := a.dialed
	a.dialed = nil
	return dialed
}

func TestEveryAddressGetsItsTurn(t *testing.T) {
	refused, noRoute := dialError(syscall.ECONNREFUSED), dialError(syscall.ENETUNREACH)
	const a, b, c = "192.0.2.1", "192.0.2.2", "2001:db8::3"
	tests := []struct {
		name   string
		list   []string
		silent map[string]bool
		fail   map[string]error
		slow   time.Duration
		want   [][]string // dialled in each Open
		took   time.Duration
		reason netio.Reason // empty: connects
		kind   netio.Kind
	}{
		{name: "one", list: []string{a}, want: [][]string{{a}, {a}}},
		{name: "all work", list: []string{a, b, c}, want: [][]string{{a}, {b}, {c}, {a}}},
		{name: "the first is silent", list: []string{a, b}, silent: map[string]bool{a: true}, want: [][]string{{a, b}, {b}}, took: time.Second},
		{name: "the first is refused", list: []string{a, b}, fail: map[string]error{a: refused}, want: [][]string{{a, b}, {b}}},
		{name: "a slow network", list: []string{a, b}, slow: 900 * time.Millisecond, want: [][]string{{a}, {b}}, took: 900 * time.Millisecond},
		{name: "all are silent", list: []string{a, b}, silent: map[string]bool{a: true, b: true}, want: [][]string{{a, b}, {b, a}}, took: 10 * time.Second, reason: netio.ReasonTimeout},
		{name: "all are refused", list: []string{a, b}, fail: map[string]error{a: refused, b: refused}, want: [][]string{{a, b}, {b, a}}, reason: netio.ReasonConnect},
		{name: "no route for IPv6", list: []string{c, a}, fail: map[string]error{c: noRoute, a: refused}, want: [][]string{{c, a}, {a, c}}, reason: netio.ReasonConnect},
		{name: "no route at all", list: []string{c, a}, fail: map[string]error{c: noRoute, a: noRoute}, want: [][]string{{c, a}}, reason: netio.ReasonOffline, kind: netio.Offline},
		{name: "the last one works", list: []string{a, c, b}, silent: map[string]bool{a: true, c: true}, want: [][]string{{a, c, b}, {c, b}, {b}}, took: 2 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &addresses{list: tt.list, silent: tt.silent, fail: tt.fail, slow: tt.slow, origin: replying(t, whole(object, ""))}
				f := newFetcher(t, netio.Config{AllowHTTP: true, Dial: host.dial, Lookup: host.lookup})
				for i, want := range tt.want {
					begin := time.Now()
					got, err := fetch(t, f, netio.Request{URL: "http://origin.test/u.bin"})
					took := time.Since(begin)
					if tt.reason != "" {
						wantError(t, err, tt.kind, tt.reason)
					} else if err != nil || string(got) != object {
						t.Errorf("open %d: %q, %v", i, got, err)
					}
					dialed := host.taken()
					if !slices.Equal(dialed, want) || i == 0 && took != tt.took || took > 10*time.Second {
						t.Errorf("open %d dialled %v in %v, want %v in %v", i, dialed, took, want, tt.took)
					}
				}
			})
		})
	}
}

// TestSecondConnectionIsClosed checks that of two addresses that answer late,
// only one connection is left.
func TestSecondConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &addresses{list: []string{"192.0.2.1", "192.0.2.2"}, slow: 2 * time.Second, origin: replying(t, whole(object, ""))}
		f := newFetcher(t, netio.Config{AllowHTTP: true, Lookup: host.lookup, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return host.dial(context.WithoutCancel(ctx), network, addr)
		}})
		if _, err := fetch(t, f, netio.Request{URL: "http://origin.test/u.bin"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // a connection left open fails the bubble: its server still reads
		if n, dialed := len(host.origin.received()), host.taken(); n != 1 || len(dialed) != 2 {
			t.Errorf("%d requests on connections to %v", n, dialed)
		}
	})
}

func TestNamesAndLiteralsAreLookedUpAsNeeded(t *testing.T) {
	host := &addresses{list: []string{"192.0.2.1"}, origin: replying(t, whole(object, ""))}
	f := newFetcher(t, netio.Config{Dial: host.dial, Lookup: host.lookup})
	if _, err := fetch(t, f, netio.Request{URL: objectURL}); err != nil || !slices.Equal(host.taken(), []string{"127.0.0.1"}) {
		t.Errorf("a literal is not dialled as it is: %v", err)
	}
	_, err := fetch(t, f, netio.Request{URL: "https://elsewhere.test/u.bin"})
	wantError(t, err, netio.Transient, netio.ReasonDNS)
	if !errors.As(err, new(*net.DNSError)) {
		t.Error(err)
	}
}
