package fsm_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otad/netio/origintest"
)

// The link has a rate, so that one would be left over to be shown during a wait.
func newSlowRig(t *testing.T, script ...*origintest.Rule) *rig {
	return newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 4_000_000),
		Link: origintest.Link{BytesPerSecond: 100_000}, Script: script})
}

func TestRetryIsShownWithItsWaitAndItsReasonAndNoRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newSlowRig(t, on(1).ResetAt(1_000_000))
		r.begin()
		time.Sleep(10*time.Second + 500*time.Millisecond) // the reset comes after ten seconds
		synctest.Wait()
		s := r.Snapshot()
		if want := "retry 1 of 3 in 1s: connection lost "; !strings.HasPrefix(s.Message, want) {
			t.Errorf("the message is %q, want %q...", s.Message, want)
		}
		if s.BytesPerSecond != 0 || s.ETA != -1 {
			t.Errorf("during the wait %d bytes a second are shown, %v left", s.BytesPerSecond, s.ETA)
		}
		time.Sleep(3 * time.Second)
		if s := r.Snapshot(); s.Message != "Downloading" || s.BytesPerSecond == 0 {
			t.Errorf("after it: %q at %d bytes a second", s.Message, s.BytesPerSecond)
		}
	})
}

func TestSilenceIsShownInSeconds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newSlowRig(t, on(1).StallAt(1_000_000))
		r.begin()
		<-r.origin.Stalled()
		synctest.Wait()
		time.Sleep(4 * time.Second)
		if s := r.Snapshot(); s.Message != "Downloading" {
			t.Errorf("after 4 s: %q", s.Message)
		}
		time.Sleep(13 * time.Second)
		if s := r.Snapshot(); s.Message != "no byte for 17 s" || s.BytesPerSecond != 0 {
			t.Errorf("after 17 s: %q at %d bytes a second", s.Message, s.BytesPerSecond)
		}
	})
}
