package installer

import (
	"errors"
	"io"
	"io/fs"
	"os"
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
//
// The package os/exec is not used: it costs a board 30 KB that otad needs for
// nothing else.
func (c command) start(environment []string, say func(line string)) (_ Process, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close() // its end of the pipe is the command's alone
	pid, err := syscall.ForkExec(c.words[0], c.words, &syscall.ProcAttr{Dir: c.dir, Env: environment,
		Files: []uintptr{null.Fd(), w.Fd(), w.Fd()}, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		r.Close()
		return nil, &fs.PathError{Op: "run", Path: c.words[0], Err: err}
	}
	p := &process{pid: pid, ended: make(chan Exit, 1), gone: make(chan struct{})}
	if self, ok := readProcess(pid); ok {
		p.started = self.started
	}
	go p.wait(r, &output{say: say})
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

// wait takes the output of the command until its end, and says how it ended.
func (p *process) wait(from *os.File, out *output) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(out, from) // its error ends the output only
	}()
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(p.pid, &status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	_ = from.SetReadDeadline(time.Now().Add(outputGrace))
	<-read
	from.Close()
	e := Exit{Code: status.ExitStatus(), Line: out.last()} // -1 of a signal
	if status.Signaled() {
		e.Signal = status.Signal().String()
	}
	close(p.gone)
	p.ended <- e
}
