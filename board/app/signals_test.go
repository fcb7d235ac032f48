package app

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A stop that hangs is over in 2 s; the last checkpoint, and no more than that,
// has its own time.
func TestOverdue(t *testing.T) {
	for name, test := range map[string]struct {
		checkpoint       time.Duration // since the stop; 0: none is made
		earliest, latest time.Duration // when the run is overdue
	}{
		"hangs":                   {0, time.Second, 2 * time.Second},
		"a short checkpoint":      {time.Second, time.Second, 2 * time.Second},
		"a slow checkpoint":       {5 * time.Second, 5 * time.Second, 6 * time.Second},
		"a checkpoint that hangs": {time.Hour, 8 * time.Second, 9 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p Process
				ctx, stop := context.WithCancel(t.Context())
				overdue := p.Overdue(ctx)
				if test.checkpoint > 0 {
					go p.machine(ctx, func(ctx context.Context) error {
						<-ctx.Done()
						time.Sleep(test.checkpoint)
						return nil
					})
				}
				time.Sleep(time.Hour)
				select {
				case <-overdue:
					t.Fatal("overdue without a stop")
				default:
				}
				stopped := time.Now()
				stop()
				<-overdue
				if took := time.Since(stopped); took < test.earliest || took > test.latest {
					t.Errorf("overdue after %v, want %v to %v", took, test.earliest, test.latest)
				}
				time.Sleep(time.Hour)
			})
		})
	}
}
