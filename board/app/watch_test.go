package app_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/app"
)

// A daemon that dies is started again by the init system after some seconds; one
// that does not come back ends the watch.
func TestWatchOutlastsARestartOfTheDaemon(t *testing.T) {
	broken := errors.New("no answer")
	for name, test := range map[string]struct {
		away     time.Duration // of the daemon, after five seconds
		problem  error         // of asking meanwhile
		state    string        // from then on
		want     error
		duration time.Duration
	}{
		"ready at once":         {0, nil, "Ready", nil, 5 * time.Second},
		"back after a restart":  {10 * time.Second, nil, "Ready", nil, 15 * time.Second},
		"fails after a restart": {10 * time.Second, nil, "Failed", app.ErrJobFailed, 15 * time.Second},
		"silent for a while":    {10 * time.Second, broken, "Ready", nil, 15 * time.Second},
		"never back":            {time.Hour, nil, "Ready", app.ErrNobodyRuns, 19 * time.Second},
		"silent for ever":       {time.Hour, broken, "Ready", broken, 19 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var last string
				err := app.Watch(t.Context(), func() (string, bool, error) {
					switch now := time.Since(began); {
					case now < 5*time.Second:
						return "Downloading", true, nil
					case now < 5*time.Second+test.away:
						return "Downloading", false, test.problem
					}
					return test.state, true, nil
				}, func(state string) { last = state })
				if took := time.Since(began); err != test.want || took != test.duration {
					t.Errorf("%v after %v, want %v after %v; shown last: %s", err, took, test.want, test.duration, last)
				}
			})
		})
	}
}

func TestWatchEndsByASignalWithWhatItSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer stop()
		shown := 0
		if err := app.Watch(ctx, func() (string, bool, error) { return "Downloading", true, nil }, func(string) { shown++ }); err != nil || shown != 4 {
			t.Errorf("%v, %d shown", err, shown)
		}
	})
}
