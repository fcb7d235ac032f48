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

func TestProgressIsPostedAtEveryMultipleOfFive(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.transit(downloading(0))
		want := []string{"downloading 0"}
		for p := range 101 {
			rg.Notify(downloading(p))
			synctest.Wait()
			if p%5 == 0 && p > 0 {
				want = append(want, fmt.Sprintf("downloading %d", p))
			}
		}
		wantPosts(t, rg.to, want...)
	})
}

func TestProgressThatJumpsIsPostedAsAMultiple(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.transit(downloading(0))
		for _, p := range []int{3, 11, 12, 33, 34, 66, 2, 4, 7} { // started over behind 66
			rg.Notify(downloading(p))
			synctest.Wait()
		}
		wantPosts(t, rg.to, "downloading 0", "downloading 10", "downloading 30", "downloading 65", "downloading 0", "downloading 5")
	})
}

func TestProgressAfterARestartIsPostedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.Notify(downloading(47)) // the first thing that is heard
		synctest.Wait()
		rg.Notify(downloading(48))
		synctest.Wait()
		wantPosts(t, rg.to, "downloading 45")
	})
}

func TestProgressThatATransitionHasToldIsNotPosted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rg := newRig(t, &outbox{}, newReceiver())
		rg.box.notices = []journal.OutboxEntry{{Seq: 1, State: string(fsm.Downloading), Progress: 47}} // from before the reboot
		rg.Notify(downloading(48))
		stop := rg.run(t)
		wantPosts(t, rg.to, "downloading 47")
		stop()
	})
}

func TestStatesWithoutProgressPostNone(t *testing.T) {
	for _, s := range []fsm.State{fsm.Idle, fsm.Ready, fsm.Failed} {
		bubble(t, func(t *testing.T, rg *rig) {
			for _, p := range []int{0, 37, 100} {
				x := state(s)
				x.Progress = p
				rg.Notify(x)
				synctest.Wait()
			}
			wantPosts(t, rg.to)
		})
	}
}

func TestTheLatestProgressWins(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		release := make(chan struct{})
		rg.to.respond(func(int, *http.Request) (int, error) { <-release; return 200, nil })
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

func TestProgressIsTriedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.transit(downloading(0))
		rg.to.respond(func(int, *http.Request) (int, error) { return 503, nil })
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
		{"the same job started anew", []fsm.Snapshot{state(fsm.Failed), downloading(0)}, []string{"failed 37", "downloading 0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, rg *rig) {
				release := make(chan struct{})
				rg.to.respond(func(int, *http.Request) (int, error) { <-release; return 200, nil })
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

// TestProgressNeverOvertakesATransition looks into the moment in which a
// transition is durable and nobody has been told yet.
func TestProgressNeverOvertakesATransition(t *testing.T) {
	bubble(t, func(t *testing.T, rg *rig) {
		rg.transit(downloading(0))
		release := make(chan struct{})
		rg.to.respond(func(int, *http.Request) (int, error) { <-release; return 200, nil })
		rg.Notify(downloading(90)) // in flight
		synctest.Wait()
		rg.Notify(downloading(95)) // waits
		rg.box.add(fsm.Verifying)  // durable, not told
		close(release)
		synctest.Wait()
		wantPosts(t, rg.to, "downloading 0", "downloading 90", "verifying 0")
		rg.Notify(state(fsm.Verifying))
		synctest.Wait()
		wantPosts(t, rg.to, "downloading 0", "downloading 90", "verifying 0")
	})
}

// TestProgressNeverComesBeforeItsTransition looks into the moment in which the
// outbox was seen empty and progress is about to be sent.
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
