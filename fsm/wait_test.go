package fsm_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// unplug takes the network away from the next boot; the switch that it returns
// brings it back.
func unplug(r *rig) (plugged *atomic.Bool) {
	plugged = new(atomic.Bool)
	r.net.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if plugged.Load() {
			return r.origin.Dial(ctx, network, addr)
		}
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}
	return plugged
}

func TestMissingNetworkIsWaitedForWithoutSpendingRetries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		plugged := unplug(r)
		r.begin()
		time.Sleep(9 * time.Minute)
		if s := r.Snapshot(); s.State != fsm.Downloading || s.Retries != 0 || s.Message != "waiting for the network" || r.metric("ota_network_waiting") != 1 {
			t.Errorf("without a network: %+v, ota_network_waiting %v", s, r.metric("ota_network_waiting"))
		}
		plugged.Store(true)
		r.fetched()
		if s := r.Snapshot(); s.Retries != 0 || r.metric("ota_network_waiting") != 0 {
			t.Errorf("with one: %d retries, ota_network_waiting %v", s.Retries, r.metric("ota_network_waiting"))
		}
	})
}

// An origin that answers, however badly, shows that there is a network.
func TestNetworkWaitBeginsAnewWithEachOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Span(1, 2).Status(503).RetryAfter("250"))
		plugged := unplug(r)
		r.begin()
		time.Sleep(9 * time.Minute)
		plugged.Store(true)
		time.Sleep(time.Minute) // the first 503 is being waited for
		if s := r.Snapshot(); r.metric("ota_network_waiting") != 0 || s.Retries != 1 {
			t.Errorf("ota_network_waiting %v and %d retries after an answer", r.metric("ota_network_waiting"), s.Retries)
		}
		plugged.Store(false)
		time.Sleep(9 * time.Minute) // 19 since the first outage began
		if s := r.Snapshot(); s.State != fsm.Downloading || s.Retries != 1 {
			t.Errorf("in the second outage: %s with %d retries", s.State, s.Retries)
		}
		plugged.Store(true)
		r.fetched()
	})
}

// waits are the ways in which a transfer can be waiting.
func waits() map[string]func(t *testing.T) *rig {
	on := func(rule *origintest.Rule) func(t *testing.T) *rig {
		return func(t *testing.T) *rig { return newRig(t, rule) }
	}
	return map[string]func(t *testing.T) *rig{
		"back-off":    on(origintest.Always().ResetEarly()),
		"Retry-After": on(origintest.Always().Status(503).RetryAfter("300")),
		"header":      on(origintest.Always().StallEarly()),
		"body":        on(origintest.Always().StallAt(interval + 5)),
		"slow body":   on(origintest.Always().Drip(10, time.Second)),
		"no network": func(t *testing.T) *rig {
			r := newRig(t)
			unplug(r)
			return r
		},
		"connection": func(t *testing.T) *rig {
			r := newRig(t)
			r.net.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return r
		},
	}
}

func TestEveryWaitEndsAtOnce(t *testing.T) {
	ways := map[string]func(r *rig) error{
		"by a reset": func(r *rig) error { return r.Reset(r.t.Context()) },
		"by a stop":  func(r *rig) error { return r.stop() },
	}
	for wait, make := range waits() {
		for way, end := range ways {
			run(t, wait+" "+way, func(t *testing.T) {
				r := make(t)
				r.begin()
				time.Sleep(300 * time.Millisecond)
				synctest.Wait()
				begin := time.Now()
				if err := end(r); err != nil {
					t.Error(err)
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("took %v", took)
				}
				if rec, _ := r.record(); r.process == nil && rec.State != string(fsm.Downloading) {
					t.Errorf("the journal holds %s after a stop", rec.State)
				}
			})
		}
	}
}

func TestNewURLEndsAWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).Status(503).RetryAfter("300"))
		r.boot()
		job := r.job()
		r.start(job)
		time.Sleep(20 * time.Second)
		r.start(job) // the URL that it has
		time.Sleep(20 * time.Second)
		if n := len(r.requests()); n != 1 {
			t.Fatalf("%d requests after a URL that was known already", n)
		}
		job.URL += "-renewed"
		r.start(job)
		r.fetched()
		if got := r.gaps(); len(got) != 1 || got[0] != 40*time.Second || r.requests()[1].URL != job.URL {
			t.Errorf("waits %v, then %s", got, r.requests()[1].URL)
		}
	})
}

// A new URL that came while nothing was waiting must not end a later wait.
func TestNewURLEndsNoLaterWait(t *testing.T) {
	tests := []struct {
		name string
		rule *origintest.Rule // of the next job's first request
		want time.Duration
	}{
		{"Retry-After", origintest.On(2).Status(503).RetryAfter("200"), 200 * time.Second},
		{"back-off", origintest.On(2).ResetEarly(), time.Second},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, origintest.On(1).StallAt(interval), tt.rule)
			r.boot()
			job := r.job()
			r.start(job)
			<-r.origin.Stalled()
			job.URL += "-renewed"
			r.start(job)
			r.origin.Release()
			r.fetched()
			r.start(r.other())
			if s := r.await(fsm.Ready); s.State != fsm.Ready {
				t.Fatalf("%s %q", s.State, s.Error)
			}
			if gaps := r.gaps(); gaps[len(gaps)-1] != tt.want {
				t.Errorf("waited for %v, want %v", gaps[len(gaps)-1], tt.want)
			}
		})
	}
}

func TestMissingNetworkIsAskedForEveryTwoToFiveSeconds(t *testing.T) {
	tests := []struct {
		jitter float64
		want   time.Duration
	}{
		{0, 2 * time.Second},
		{0.5, 3500 * time.Millisecond},
		{0.999, 4997 * time.Millisecond},
	}
	for _, tt := range tests {
		run(t, fmt.Sprint("jitter ", tt.jitter), func(t *testing.T) {
			r := newRig(t)
			r.cfg.Jitter = func() float64 { return tt.jitter }
			plugged := unplug(r)
			r.begin()
			time.Sleep(time.Minute)
			plugged.Store(true)
			r.fetched()
			gaps := r.gaps()
			if len(gaps) < 12 || slices.Min(gaps) != tt.want || slices.Max(gaps) != tt.want {
				t.Errorf("waits %v, want %v each", gaps, tt.want)
			}
		})
	}
}
