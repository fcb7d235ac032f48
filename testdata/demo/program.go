package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// program is otad with its arguments, to be run more than once.
type program struct {
	path string
	args []string
}

// killWhen runs the program, kills it as soon as now is closed, and returns how many bytes had been served by then.
func (p *program) killWhen(ctx context.Context, now <-chan struct{}, served func() int64) (int64, error) {
	cmd, log := p.command(ctx)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%w (make bin/otad builds it)", err)
	}
	say("otad", "started, process %d", cmd.Process.Pid)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-now:
	case <-ended:
		log.breakLine()
		return 0, fmt.Errorf("otad ended before it could be killed: %v%s", cmd.ProcessState, log)
	}
	if err := cmd.Process.Kill(); err != nil {
		return 0, fmt.Errorf("kill otad: %w", err)
	}
	<-ended
	log.breakLine()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		return 0, fmt.Errorf("otad was not ended by SIGKILL: %v", cmd.ProcessState)
	}
	return served(), nil
}

// finish runs the program to its end.
func (p *program) finish(ctx context.Context) error {
	cmd, log := p.command(ctx)
	if err := cmd.Start(); err != nil {
		return err
	}
	say("otad", "started again, process %d", cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		log.breakLine()
		return fmt.Errorf("otad: %w%s", err, log)
	}
	return nil
}

// command makes a process that dies with ctx. On a terminal it draws its progress bar there; elsewhere what it says is kept in log for the case
// that it fails.
func (p *program) command(ctx context.Context) (*exec.Cmd, *messages) {
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.Env = plainEnvironment()
	cmd.WaitDelay = time.Second
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		cmd.Stderr = os.Stderr
		return cmd, nil
	}
	log := new(messages)
	cmd.Stderr = &log.text
	return cmd, log
}

// plainEnvironment leaves out the variables that would configure otad.
func plainEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OTAD_") {
			env = append(env, v)
		}
	}
	return env
}

// messages is what a process wrote to stderr; nil when that went to the terminal.
type messages struct{ text bytes.Buffer }

// breakLine goes to a new line where the progress bar of a process that died has left the terminal in the middle of one.
func (m *messages) breakLine() {
	if m == nil {
		fmt.Fprintln(os.Stderr)
	}
}

func (m *messages) String() string {
	if m == nil || m.text.Len() == 0 {
		return ""
	}
	return "\n" + strings.TrimSpace(m.text.String())
}
