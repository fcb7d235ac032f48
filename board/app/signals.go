package app

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"otad/board/config"
)

// Process connects a run with the process around it. The zero value is a run
// that cannot be reloaded. One run at a time uses it.
type Process struct {
	Reload <-chan os.Signal               // a signal makes serve read its configuration again; nil: none
	Reread func() (*config.Config, error) // returns the configuration as it is now; required with Reload

	checkpointing atomic.Bool  // the machine runs, or makes its last checkpoint
	installing    atomic.Int64 // how long a stop may wait for the installer, a time.Duration; 0: not at all
}

// The limits of a stop. The machine bounds its last checkpoint itself, but a
// sync that has begun cannot be broken off.
const (
	stopLimit       = 1500 * time.Millisecond // of everything but the last checkpoint
	closeLimit      = 300 * time.Millisecond  // after both: of the journal and the log
	checkpointLimit = 8 * time.Second         // with a last checkpoint; init systems kill after 10 s
	stopPoll        = 20 * time.Millisecond
)

// Overdue returns a channel that is closed when a run that ctx has stopped has
// not ended in time. The caller should end the process then: the journal and the
// partial file are as safe as after a kill.
func (p *Process) Overdue(ctx context.Context) <-chan struct{} {
	overdue := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(overdue)
		time.Sleep(stopLimit)
		for left := checkpointLimit - stopLimit; left > 0 && p.checkpointing.Load(); left -= stopPoll {
			time.Sleep(stopPoll)
		}
		for left := time.Duration(p.installing.Load()); left > 0 && p.installing.Load() > 0; left -= stopPoll {
			time.Sleep(stopPoll)
		}
		time.Sleep(closeLimit)
	})
	return overdue
}

// machine runs the machine, which makes a checkpoint when ctx ends.
func (p *Process) machine(ctx context.Context, run func(context.Context) error) error {
	p.checkpointing.Store(true)
	defer p.checkpointing.Store(false)
	return run(ctx)
}
