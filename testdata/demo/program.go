package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"otad/testdata/otadrun"
)

// program is otad with its arguments, to be run more than once.
type program struct {
	path string
	args []string
}

// killWhen runs the program, kills it as soon as now is closed, and returns the
// number of bytes that the origin had served.
func (p *program) killWhen(ctx context.Context, now <-chan struct{}, served func() int64) (int64, error) {
	otad, err := p.start("started")
	if err != nil {
		return 0, fmt.Errorf("%w (make bin/otad builds it)", err)
	}
	select {
	case <-now:
	case <-ctx.Done():
	case <-otad.Done():
		return 0, fmt.Errorf("otad ended before it could be killed: %w", otad.Wait().Err())
	}
	otad.Kill()
	if otad.Cmd.ProcessState.String() != "signal: killed" {
		return 0, fmt.Errorf("otad was not ended by SIGKILL: %v", otad.Cmd.ProcessState)
	}
	if onTerminal() {
		fmt.Fprintln(os.Stderr) // ends the line of the progress bar
	}
	return served(), ctx.Err()
}

// finish runs the program to its end.
func (p *program) finish(ctx context.Context) error {
	otad, err := p.start("started again")
	if err != nil {
		return err
	}
	select {
	case <-otad.Done():
	case <-ctx.Done():
		otad.Kill()
	}
	return otad.Wait().Err()
}

// start starts the program without the variables that would configure otad. On a
// terminal otad shows its progress there; otherwise its stderr is kept for the
// error message.
func (p *program) start(verb string) (*otadrun.Process, error) {
	cmd := otadrun.Command(p.path, p.args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OTAD_") })
	if onTerminal() {
		cmd.Stderr = os.Stderr
	}
	otad, err := otadrun.Start(cmd)
	if err == nil {
		say("otad", "%s, process %d", verb, otad.Cmd.Process.Pid)
	}
	return otad, err
}

func onTerminal() bool {
	info, err := os.Stderr.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
