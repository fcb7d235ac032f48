package app

import (
	"context"

	"otad/board/deviceapi"
)

// FlagError translates the error of a job for the command line.
var FlagError = flagError

// ReadHeader reads a header file.
var ReadHeader = readHeader

// LineOf returns what the progress line shows of a snapshot.
var LineOf = lineOf

// For tests of parts that a daemon shows only over time.
var (
	Listen      = listen
	ReadToken   = readToken
	TakeURL     = takeURL
	Transitions = transitions
)

// Watch runs what otad status -watch does. look returns a state and whether an
// otad runs; show receives the states.
func Watch(ctx context.Context, look func() (string, bool, error), show func(string)) error {
	w := &watcher{finish: func() {}}
	w.look = func() (report, error) {
		state, running, err := look()
		return report{running: running, progress: deviceapi.Progress{State: state}}, err
	}
	w.show = func(r report) error {
		show(r.progress.State)
		return nil
	}
	return w.run(ctx)
}
