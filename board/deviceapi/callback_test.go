package deviceapi_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
)

func TestProgressIsPostedAtMultiplesOfFive(t *testing.T) {
	progress := func(state fsm.State, percents ...int) (out []fsm.Snapshot) {
		for _, p := range percents {
			out = append(out, fsm.Snapshot{State: state, Version: "1.2.3", Name: "u.zip", Progress: p})
		}
		return out
	}
	var each []int
	multiples := []string{"downloading 0"}
	for p := range 101 {
		each = append(each, p)
		if p%5 == 0 && p > 0 {
			multiples = append(multiples, fmt.Sprintf("downloading %d", p))
		}
	}
	for _, tt := range []struct {
		name    string
		transit bool // to Downloading first
		notify  []fsm.Snapshot
		want    []string
	}{
		{"each percent", true, progress(fsm.Downloading, each...), multiples},
		{"jumps, and starts over behind 66", true, progress(fsm.Downloading, 3, 11, 12, 33, 34, 66, 2, 4, 7),
			[]string{"downloading 0", "downloading 10", "downloading 30", "downloading 65", "downloading 0", "downloading 5"}},
		{"once after a restart", false, progress(fsm.Downloading, 47, 48), []string{"downloading 45"}},
		{"none of Idle", false, progress(fsm.Idle, 0, 37, 100), nil},
		{"none of Ready", false, progress(fsm.Ready, 0, 37, 100), nil},
		{"none of Failed", false, progress(fsm.Failed, 0, 37, 100), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, rg *rig) {
				if tt.transit {
					rg.transit(downloading(0))
				}
				for _, s := range tt.notify {
					rg.Notify(s)
					synctest.Wait()
				}
				wantPosts(t, rg.to, tt.want...)
			})
		})
	}
}

func TestProgressOfATransitionIsNotPostedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, &outbox{}, newReceiver())
		rg.box.entries = []journal.OutboxEntry{{Seq: 1, State: string(fsm.Downloading), Progress: 47}} // from before a reboot
		rg.Notify(downloading(48))
		stop := rg.run(t)
		wantPosts(t, rg.to, "downloading 47")
		stop()
	})
}

func TestOnlyTheLatestProgressIsPosted(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		release := make(chan struct{})
		rg.to.setResponse(func(int, *http.Request) (int, error) { <-release; return 200, nil })
		rg.transit(downloading(0))
		for p := range 43 {
			rg.Notify(downloading(p))
		}
		close(release)
		synctest.Wait()
		wantPosts(t, rg.to, "downloading 0", "downloading 40")
		if n := rg.results.of(deviceapi.ResultDropped); n != 7 { // 5 to 35
			t.Errorf("%d dropped, want 7", n)
		}
	})
}

func TestProgressIsPostedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.transit(downloading(0))
		rg.to.setResponse(func(int, *http.Request) (int, error) { return 503, nil })
		rg.Notify(downloading(5))
		time.Sleep(time.Hour)
		wantPosts(t, rg.to, "downloading 0", "downloading 5")
	})
}

func TestStaleProgressIsNotPosted(t *testing.T) {
	for _, tt := range []struct {
		name string
		then []fsm.Snapshot
		want []string
	}{
		{"verifying since", []fsm.Snapshot{state(fsm.Verifying)}, []string{"verifying 0"}},
		{"another job since", []fsm.Snapshot{state(fsm.Idle), {State: fsm.Downloading, Version: "2.0.0", Name: "v.zip"}}, []string{"idle 0", "downloading 0"}},
		{"the same job started again", []fsm.Snapshot{state(fsm.Failed), downloading(0)}, []string{"failed 37", "downloading 0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, rg *rig) {
				release := make(chan struct{})
				rg.to.setResponse(func(int, *http.Request) (int, error) { <-release; return 200, nil })
				rg.transit(downloading(0))
				rg.Notify(downloading(95))
				for _, s := range tt.then {
					rg.transit(s)
				}
				close(release)
				synctest.Wait()
				wantPosts(t, rg.to, append([]string{"downloading 0"}, tt.want...)...)
			})
		})
	}
}

// TestProgressNeverOvertakesATransition posts progress after a transition has
// become durable and before Notify reports it.
func TestProgressNeverOvertakesATransition(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.transit(downloading(0))
		release := make(chan struct{})
		rg.to.setResponse(func(int, *http.Request) (int, error) { <-release; return 200, nil })
		rg.Notify(downloading(90)) // in flight
		synctest.Wait()
		rg.Notify(downloading(95)) // pending
		rg.box.add(fsm.Verifying)  // durable, Notify not called yet
		close(release)
		synctest.Wait()
		wantPosts(t, rg.to, "downloading 0", "downloading 90", "verifying 0")
		rg.Notify(state(fsm.Verifying))
		synctest.Wait()
		wantPosts(t, rg.to, "downloading 0", "downloading 90", "verifying 0")
	})
}

// TestProgressNeverComesBeforeItsTransition makes a transition after Run has
// found the outbox empty and before it posts progress.
func TestProgressNeverComesBeforeItsTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, &outbox{}, newReceiver())
		rg.box.empty = func() {
			rg.box.add(fsm.Downloading)
			rg.Notify(downloading(0))
			rg.Notify(downloading(5))
		}
		stop := rg.run(t)
		wantPosts(t, rg.to, "downloading 0")
		rg.Notify(downloading(10))
		synctest.Wait()
		wantPosts(t, rg.to, "downloading 0", "downloading 10")
		stop()
	})
}
