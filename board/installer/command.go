package installer

import (
	"errors"
	"io/fs"
	"os/exec"
	"syscall"
	"time"
)

// command starts a command without a shell.
type command struct {
	words []string
	dir   string
}

const (
	// endGrace is how long a group that has got SIGTERM may take to end; SIGKILL
	// follows.
	endGrace = 10 * time.Second
	// EndLimit is how long the end of a command takes at most, in all.
	EndLimit = 2*endGrace + outputGrace + 2*time.Second
	// outputGrace is how long the output of a command that has ended is read: what
	// it has left running may hold it open.
	outputGrace = time.Second
)

// start starts the command in a process group of its own. Its standard input is
// /dev/null, and each line of its output goes to say, from one goroutine.
//
// It does not get PR_SET_PDEATHSIG of prctl(2): an installer that is killed in the
// middle of a write because otad has crashed is worse off than one that comes to
// its end, and the signal would reach the command alone, not what it has started.
// The next otad ends what is left of it, see endSurvivors.
func (c command) start(environment []string, say func(line string)) (Process, error) {
	out := &output{say: say}
	cmd := exec.Command(c.words[0], c.words[1:]...)
	cmd.Dir, cmd.Env = c.dir, environment
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = outputGrace
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, ended: make(chan Exit, 1), gone: make(chan struct{})}
	if self, ok := readProcess(p.pid); ok {
		p.started = self.started
	}
	go func() {
		_ = cmd.Wait() // its error is in ProcessState, or only says that the output was held open
		e := Exit{Code: cmd.ProcessState.ExitCode(), Line: out.last()}
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			e.Signal = status.Signal().String()
		}
		close(p.gone)
		p.ended <- e
	}()
	return p, nil
}

// isPermanent reports whether a command that was not started for err cannot be
// started later either.
func isPermanent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) || errors.Is(err, syscall.ENOTDIR)
}

// process is a run of the command that this otad has started.
type process struct {
	pid     int
	started uint64
	ended   chan Exit     // of capacity 1
	gone    chan struct{} // closed when it has ended
}

func (p *process) ID() (pid int, started uint64) { return p.pid, p.started }
func (p *process) Ended() <-chan Exit            { return p.ended }

func (p *process) End() {
	endGroup(p.pid)
	<-p.gone
}
