// Package otadrun runs the otad binary for the tests and rigs of this module. It
// builds, starts, kills and waits for a process, finds a free port, and is a
// client of the daemon's API.
//
// Every function returns its error; the packages that use it report the errors
// in their own way. A process that is started here does not outlive the caller.
//
//	p, err := otadrun.Start(otadrun.Command("bin/otad", otadrun.FetchArgs(dir, sum, url, "-quiet")...))
//	...
//	result := p.Wait()
//	fmt.Println(result.Code, result.LastLine())
package otadrun

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// FetchArgs returns the arguments of an `otad fetch`, with further flags.
func FetchArgs(stateDir, md5, url string, flags ...string) []string {
	return slices.Concat([]string{"fetch", "-state-dir", stateDir, "-md5", md5}, flags, []string{url})
}

// Command returns a command that the kernel kills when the calling process ends,
// for whatever reason.
func Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Process is a program that was started. Its methods may be called by any number
// of goroutines.
type Process struct {
	Cmd            *exec.Cmd
	Stdout, Stderr Output // empty where Cmd has a writer of its own

	done chan struct{} // closed when Cmd.Wait has returned
}

// Result is the end of a process.
type Result struct {
	Code           int // exit code; -1: ended by a signal
	Stdout, Stderr string
}

// Start starts cmd. What cmd writes to an output that is nil is kept.
func Start(cmd *exec.Cmd) (*Process, error) { return StartBy(cmd, (*exec.Cmd).Start) }

// StartBy is Start with a function that starts cmd in its own way.
func StartBy(cmd *exec.Cmd, start func(*exec.Cmd) error) (*Process, error) {
	p := &Process{Cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.Stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.Stderr
	}
	if err := start(cmd); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the error repeats the exit code
	}()
	return p, nil
}

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the process has ended by itself.
func (p *Process) Wait() Result {
	<-p.done
	return Result{p.Cmd.ProcessState.ExitCode(), p.Stdout.String(), p.Stderr.String()}
}

// WaitFor is Wait with a limit. When the limit is reached, the process is left
// running and an error is returned.
func (p *Process) WaitFor(limit time.Duration) (Result, error) {
	select {
	case <-p.done:
		return p.Wait(), nil
	case <-time.After(limit):
		return Result{}, fmt.Errorf("process %d has not ended within %v", p.Cmd.Process.Pid, limit)
	}
}

// Kill ends the process by SIGKILL and waits for its end. Nothing happens if the
// process has ended before, or if p is nil.
func (p *Process) Kill() Result {
	if p == nil {
		return Result{}
	}
	_ = p.Cmd.Process.Kill() // the error reports a process that has ended
	return p.Wait()
}

// Stop sends SIGTERM and waits for the end of the process, at most for limit.
func (p *Process) Stop(limit time.Duration) (Result, error) {
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return Result{}, err
	}
	return p.WaitFor(limit)
}

// Await polls until ready returns true. It returns an error when ready does, when
// the process ends, or when limit is reached. The text names the condition.
func (p *Process) Await(limit time.Duration, text string, ready func() (bool, error)) error {
	return Await(limit, text, func() (bool, error) {
		select {
		case <-p.done: // ready may still see the last act of the process
			ok, err := ready()
			if !ok && err == nil {
				err = fmt.Errorf("%s has ended with %v\n%s", p.Cmd.Path, p.Cmd.ProcessState, &p.Stderr)
			}
			return ok, err
		default:
			return ready()
		}
	})
}

// LastLine returns the last line of stderr without the prefix "otad: ": the error
// of an otad that failed.
func (r Result) LastLine() string {
	text := strings.TrimSpace(r.Stderr)
	return strings.TrimPrefix(text[strings.LastIndexByte(text, '\n')+1:], "otad: ")
}

// Err returns an error unless the exit code is 0.
func (r Result) Err() error {
	if r.Code == 0 {
		return nil
	}
	return errors.New(strings.TrimSpace(fmt.Sprintf("exit code %d: %s", r.Code, r.Stderr)))
}

// Output keeps what is written to it. It may be read while it is written.
type Output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write appends to the output.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// String returns what has been written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}
