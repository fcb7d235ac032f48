package deviceapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
)

func TestTransitionsArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, &outbox{}, newReceiver())
		rg.box.add(fsm.Downloading, fsm.Failed, fsm.Downloading) // from before the reboot
		stop := rg.run(t)
		rg.transit(state(fsm.Verifying))
		rg.transit(state(fsm.Ready))
		wantPosts(t, rg.to, "downloading 0", "failed 37", "downloading 0", "verifying 0", "toInstall 0")
		if left, n := rg.box.Pending(), rg.queue.Load(); len(left) != 0 || n != 0 {
			t.Errorf("the outbox still holds %v, the queue length is %d", left, n)
		}
		if n := rg.results.of(deviceapi.ResultDelivered); n != 5 {
			t.Errorf("%d delivered, want 5", n)
		}
		stop()
	})
}

func TestWaitsBetweenTries(t *testing.T) {
	for name, respond := range map[string]func(int, *http.Request) (int, error){
		"not answered":    func(int, *http.Request) (int, error) { return 0, errors.New("connection refused") },
		"server error":    func(int, *http.Request) (int, error) { return 503, nil },
		"too many":        func(int, *http.Request) (int, error) { return 429, nil },
		"request timeout": func(int, *http.Request) (int, error) { return 408, nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, rg *rig) {
				rg.to.setResponse(func(n int, r *http.Request) (int, error) {
					if n == 10 {
						return 204, nil
					}
					return respond(n, r)
				})
				rg.transit(state(fsm.Ready))
				if n := rg.queue.Load(); n != 1 {
					t.Errorf("the queue length is %d, want 1", n)
				}
				time.Sleep(time.Hour)
				want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}
				for i := range want {
					want[i] *= time.Second
				}
				if got := rg.to.times()[:len(want)]; !slices.Equal(got, want) {
					t.Errorf("tries at %v, want %v", got, want)
				}
				// After a delivery the waits are short again.
				rg.to.setResponse(respond)
				again := time.Since(rg.to.start)
				rg.transit(state(fsm.Idle))
				time.Sleep(2 * time.Second)
				if got := rg.to.times()[len(want):]; !slices.Equal(got, []time.Duration{again, again + time.Second}) {
					t.Errorf("tries of the next at %v, want %v and a second later", got, again)
				}
			})
		})
	}
}

func TestWaitsAreSpread(t *testing.T) {
	for _, tt := range []struct {
		rand           float64
		first, longest time.Duration
	}{
		{0, 800 * time.Millisecond, 48 * time.Second},
		{0.999, 1199 * time.Millisecond, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			box, to := &outbox{}, newReceiver()
			box.add(fsm.Ready)
			to.setResponse(func(int, *http.Request) (int, error) { return 500, nil })
			c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: "http://127.0.0.1/", Outbox: box, Transport: to,
				Log: quiet(), Rand: func() float64 { return tt.rand }})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
			defer stop()
			if err := c.Run(ctx); err != nil {
				t.Fatal(err)
			}
			at := to.times()
			if got := at[1].Truncate(time.Millisecond); got != tt.first {
				t.Errorf("rand %v: first wait %v, want %v", tt.rand, got, tt.first)
			}
			if got := at[len(at)-1] - at[len(at)-2]; got != tt.longest {
				t.Errorf("rand %v: longest wait %v, want %v", tt.rand, got, tt.longest)
			}
		})
	}
}

func TestANewTransitionEndsTheWait(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		up := false
		rg.to.setResponse(func(int, *http.Request) (int, error) {
			if !up {
				return 502, nil
			}
			return 200, nil
		})
		rg.transit(downloading(0))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		up = true
		before := len(rg.to.posts())
		rg.Notify(downloading(50)) // must not be posted before the transition
		synctest.Wait()
		wantPosts(t, rg.to, rg.to.posts()[:before]...)
		rg.transit(state(fsm.Failed))
		if got := rg.to.posts()[before:]; !slices.Equal(got, []string{"downloading 0", "failed 37"}) {
			t.Errorf("posted at once: %q", got)
		}
	})
}

// A receiver that has just booted may answer 404 until its routes are set up.
func TestARejectedTransitionIsPostedUntilAccepted(t *testing.T) {
	for _, status := range []int{101, 302, 400, 404, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bubble(t, func(t *testing.T, rg *rig) {
				const rejections = 20
				rg.to.setResponse(func(n int, _ *http.Request) (int, error) {
					if n <= rejections {
						return status, nil
					}
					return 200, nil
				})
				rg.box.add(fsm.Failed)
				rg.transit(state(fsm.Idle))
				time.Sleep(20 * time.Minute)
				wantPosts(t, rg.to, append(slices.Repeat([]string{"failed 37"}, rejections+1), "idle 0")...)
				want := map[string]int{deviceapi.ResultRejected: rejections, deviceapi.ResultDropped: 0, deviceapi.ResultDelivered: 2}
				for result, n := range want {
					if got := rg.results.of(result); got != n {
						t.Errorf("%d times %s, want %d", got, result, n)
					}
				}
				if left := rg.box.Pending(); len(left) != 0 {
					t.Errorf("the outbox still holds %v", left)
				}
			})
		})
	}
}

func TestATransitionThatCannotBeRemovedIsNotPostedTwice(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.box.fail(errors.New("read-only file system"))
		rg.transit(state(fsm.Ready))
		time.Sleep(5 * time.Second)
		rg.box.fail(nil)
		time.Sleep(time.Minute)
		rg.transit(state(fsm.Idle))
		wantPosts(t, rg.to, "toInstall 0", "idle 0")
	})
}

func TestARestartDeliversTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, to := &outbox{}, newReceiver()
		first := newRig(t, box, to)
		stop := first.run(t)
		first.transit(downloading(0))
		// Posted, but a power cut prevents the removal.
		box.fail(errors.New("power cut"))
		first.transit(state(fsm.Verifying))
		box.add(fsm.Ready)
		stop()
		box.fail(nil)
		second := newRig(t, box, to)
		stop = second.run(t)
		wantPosts(t, to, "downloading 0", "verifying 0", "verifying 0", "toInstall 0")
		stop()
	})
}

func TestASlowReceiverDoesNotBlockNotify(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.to.setResponse(func(_ int, r *http.Request) (int, error) {
			<-r.Context().Done()
			return 0, r.Context().Err()
		})
		start := time.Now()
		rg.transit(downloading(0))
		for p := range 101 {
			rg.Notify(downloading(p))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Notify waited %v", took)
		}
		time.Sleep(10 * time.Second)
		// A try of five seconds, a wait of one, and the next try.
		if got := rg.to.times(); !slices.Equal(got, []time.Duration{0, 6 * time.Second}) {
			t.Errorf("tries at %v, want 0 s and 6 s", got)
		}
		if n := rg.results.of(deviceapi.ResultFailed); n != 1 {
			t.Errorf("%d failed, want 1", n)
		}
	})
}

func TestStoppingDuringATryIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, &outbox{}, newReceiver())
		rg.to.setResponse(func(_ int, r *http.Request) (int, error) { <-r.Context().Done(); return 0, r.Context().Err() })
		rg.box.add(fsm.Ready)
		rg.run(t)() // stops at once
		if n := rg.results.of(deviceapi.ResultFailed); n != 0 {
			t.Errorf("%d failed, want none", n)
		}
		if left := rg.box.Pending(); len(left) != 1 {
			t.Errorf("the outbox holds %v, want the transition", left)
		}
	})
}

// The machine lets the newest failure of a series take the place of the one that
// still waits in the outbox.
func TestTheNewestFailureOfASeriesIsPosted(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.to.setResponse(func(int, *http.Request) (int, error) { return 503, nil })
		rg.transit(state(fsm.Failed))
		time.Sleep(time.Hour)
		rg.box.mu.Lock()
		rg.box.entries = []journal.OutboxEntry{{Seq: 9, State: string(fsm.Failed), Progress: 90, Error: "DOWNLOAD_FAILED: refused"}}
		rg.box.mu.Unlock()
		rg.to.setResponse(nil)
		before := len(rg.to.posts())
		time.Sleep(time.Hour)
		if got := rg.to.posts()[before:]; !slices.Equal(got, []string{"failed 90"}) {
			t.Errorf("posts %q, want the newest failure once", got)
		}
	})
}

// lines counts the lines of a log at info and above by their message.
type lines struct {
	slog.Handler
	mu sync.Mutex
	n  map[string]int
}

func (*lines) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n[r.Message]++
	return nil
}

func (l *lines) WithAttrs([]slog.Attr) slog.Handler { return l }

// A receiver that is away for a week, while a job fails and is tried again, is
// fewer than 250 lines in the log, and its return is one.
func TestAnAbsentReceiverIsFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, to, log := &outbox{}, newReceiver(), &lines{n: map[string]int{}}
		to.setResponse(func(n int, _ *http.Request) (int, error) {
			if n%2 == 0 {
				return 503, nil // two kinds of failure in turn are one trouble
			}
			return 0, errors.New("connection refused")
		})
		c, err := deviceapi.NewCallbacks(deviceapi.CallbackConfig{URL: "http://127.0.0.1/", Outbox: box, Transport: to, Log: slog.New(log)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		box.add(fsm.Downloading, fsm.Failed)
		for range 7 * 24 {
			c.Notify(downloading(0))
			time.Sleep(30 * time.Minute)
			c.Notify(state(fsm.Failed))
			time.Sleep(30 * time.Minute)
		}
		failures := len(to.posts())
		if failures < 7*24*60 {
			t.Fatalf("%d tries in a week", failures)
		}
		to.setResponse(nil)
		time.Sleep(time.Hour)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		total := 0
		for _, n := range log.n {
			total += n
		}
		if total < 100 || total >= 250 || log.n["callbacks are accepted again"] != 1 {
			t.Errorf("%d lines for %d failures: %v", total, failures, log.n)
		}
	})
}
