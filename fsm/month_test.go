package fsm_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// weather is what a board meets at its origin for a while.
type weather int32

const (
	skySunny      weather = iota
	skyClosedPort         // the port is closed
	skyOffline            // no route
	skySilent             // SYNs are swallowed
	skyNameless           // the name does not resolve
	skyPortal             // somebody else answers each request with a page
	skyUpkeep             // the origin itself does, with 503
	skyExpired            // the URL's signature is too old, until a new one is posted
	weathers
)

func (w weather) String() string {
	return [...]string{"sunny", "refused", "offline", "silent", "nameless", "portal", "upkeep", "expired"}[w]
}

// month is a board in the field: one job on a slow link, outages of minutes to
// days, and power cuts after which the board's clock begins anew.
type month struct {
	*rig
	now   atomic.Int32 // weather
	draw  *rand.Rand
	other map[weather]*origintest.Origin
	dials atomic.Int64
}

func newMonth(t *testing.T, seed uint64) *month {
	object := sample(seed, 80*interval)
	page := origintest.Object{Bytes: make([]byte, 1560)}
	answering := func(rule *origintest.Rule) *origintest.Origin {
		return origintest.NewConfig(t, origintest.Config{InMemory: true, Object: page, Script: []*origintest.Rule{rule}, Allow: origintest.Malformed})
	}
	m := &month{
		// 80 intervals at 2 kB/s take 44 minutes of good weather, and the link
		// breaks every few of them.
		rig: forever(newRigOn(t, origintest.Config{InMemory: true, Object: object,
			Script: []*origintest.Rule{origintest.Always().Drip(2000, time.Second).ResetAfter(3*interval + 11)}})),
		draw: rand.New(rand.NewPCG(seed, 30)),
		other: map[weather]*origintest.Origin{
			skyPortal:  answering(origintest.Always().IgnoreRange().NoETag().NoLastModified().Header("Content-Type", "text/html")),
			skyUpkeep:  answering(origintest.Always().Status(503).RetryAfter("120")),
			skyExpired: answering(origintest.Always().ExpiredAWS()),
		},
	}
	m.bulk = true
	m.log = slog.NewTextHandler(secretCheck{t}, nil) // what is logged of each try in vain is too much
	m.cfg.Flush, m.cfg.NetworkWait = 30*time.Second, 10*time.Minute
	jitter := rand.New(rand.NewPCG(seed, 31))
	var mu sync.Mutex
	m.cfg.Jitter = func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return jitter.Float64()
	}
	m.net.RetryAfterMax = 5 * time.Minute
	m.net.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		w := weather(m.now.Load())
		if w != skyOffline { // without a route none leaves the board
			m.dials.Add(1)
		}
		switch w {
		case skySunny:
			return m.origin.Dial(ctx, network, addr)
		case skyClosedPort:
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		case skyOffline:
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
		case skyNameless:
			return nil, &net.DNSError{Err: "no such host", Name: "origin.test", IsNotFound: true}
		case skySilent:
			<-ctx.Done()
			return nil, ctx.Err()
		default:
			return m.other[w].Dial(ctx, network, addr)
		}
	}
	return m
}

// TestAMonthInTheField: whatever the month is like, the package arrives without
// anybody at the board, no byte that was held is lost, and the requests are few:
// some thirty for the package, which takes 28 connections, and about 100 a day
// while it does not come. A month costs no more than 130 a day.
func TestAMonthInTheField(t *testing.T) {
	seeds := uint64(3)
	if *long {
		seeds = 12
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { live(newMonth(t, seed)) })
		})
	}
}

func live(m *month) {
	t := m.t
	begin, signature := time.Now(), 1
	job := m.job()
	m.boot()
	m.start(job)
	var held int64
	var posted time.Time // when the back end has noticed an expired URL
	for {
		m.now.Store(int32(m.draw.IntN(int(weathers))))
		phase := time.Duration(m.draw.ExpFloat64()*float64(40*time.Hour)) + time.Minute
		for fair := 90 * time.Minute; phase > 0; {
			step := min(phase, time.Duration(m.draw.ExpFloat64()*float64(6*time.Hour))+10*time.Second)
			if weather(m.now.Load()) == skySunny {
				step = min(step, 4*time.Minute) // the board is cut off before it is through
				if fair -= step; fair < 0 {
					break
				}
			}
			time.Sleep(step)
			phase -= step
			synctest.Wait()
			s := m.Snapshot()
			if s.Durable < held {
				t.Fatalf("%d bytes were held, %d are (%s): %+v", held, s.Durable, weather(m.now.Load()), s)
			}
			held = s.Durable
			if s.State == fsm.Ready {
				m.fetched()
				days, dials := time.Since(begin).Hours()/24, float64(m.dials.Load())
				t.Logf("Ready after %.1f days and %v requests", days, dials)
				if dials > 100+130*days {
					t.Errorf("%v requests in %.1f days", dials, days)
				}
				return
			}
			if s.Reason == fsm.URLExpired && time.Since(posted) > time.Hour {
				posted = time.Now()
				signature++
				job.URL = fmt.Sprintf("%s?signature=%s%d", m.origin.URL(), secret, signature)
				m.now.Store(int32(skySunny))
				m.start(job)
				continue
			}
			if m.draw.IntN(3) == 0 {
				m.kill()
				m.boot()
			}
		}
		if time.Since(begin) > 90*24*time.Hour {
			t.Fatalf("after 90 days %+v", m.Snapshot())
		}
	}
}
