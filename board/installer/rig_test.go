package installer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
)

// board is a board under test: what outlives the processes of otad on it. It is
// for a synctest bubble.
type board struct {
	t   *testing.T
	cfg Config

	mu      sync.Mutex // guards the fields below
	h       fsm.Handover
	ready   bool
	state   fsm.State // when it is not ready
	broken  error     // of the journal's writes
	boot    Boot      // its Up counts from booted
	booted  time.Time
	states  []string // written, in order; without repetition
	runs    []*fakeProcess
	counted map[[2]uint64]bool // job and attempt of each run
	script  []end              // how the runs end; the last one for all that follow
	wake    func(fsm.Snapshot)
}

// fakeProcess is a run of the command.
type fakeProcess struct {
	b           *board
	environment []string
	ended       chan Exit
	asked       atomic.Bool // by End
	at          time.Time   // of the start
}

func newBoard(t *testing.T, script ...end) *board {
	b := &board{t: t, ready: true, script: script, boot: Boot{ID: "boot 1"}, booted: time.Now(), counted: map[[2]uint64]bool{}}
	b.h = fsm.Handover{ID: 7, Intact: true, Job: journal.Job{Name: "u.zip", Version: "1.2.3", Size: 5, MD5: "0a", SHA256: "0b"}}
	b.cfg = Config{Updater: b, Command: []string{"/install"}, Dir: "/state", Timeout: 30 * time.Minute, Grace: time.Minute,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Boot: b.now, Start: b.start}
	return b
}

func (b *board) now() (Boot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Boot{b.boot.ID, time.Since(b.booted)}, nil
}

// reboot begins another boot.
func (b *board) reboot(id string) { b.change(func() { b.boot.ID, b.booted = id, time.Now() }) }

// change changes what the lock guards.
func (b *board) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// begun returns the runs.
func (b *board) begun() []*fakeProcess {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.runs)
}

// install returns what the journal says.
func (b *board) install() journal.Install {
	h, _ := b.Handover()
	return h.Install
}

func (b *board) Handover() (fsm.Handover, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.h, b.ready
}

func (b *board) Snapshot() fsm.Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ready {
		return fsm.Snapshot{State: fsm.Ready, Version: b.h.Job.Version}
	}
	return fsm.Snapshot{State: b.state, Version: b.h.Job.Version}
}

func (b *board) SetInstall(ctx context.Context, id uint64, change func(*journal.Install) error, _ fsm.InstallReport) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.h.Install
	switch {
	case !b.ready || id != b.h.ID:
		return fsm.ErrNotReady
	case b.broken != nil:
		return b.broken
	}
	if err := change(&next); err != nil {
		return err
	}
	b.h.Install = next
	if n := len(b.states); n == 0 || b.states[n-1] != next.State {
		b.states = append(b.states, next.State)
	}
	go b.wake(fsm.Snapshot{})
	return nil
}

// start checks that a run was counted before it begins.
func (b *board) start(environment []string, _ func(string)) (Process, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &fakeProcess{b: b, environment: environment, ended: make(chan Exit, 1), at: time.Now()}
	b.runs = append(b.runs, p)
	run := [2]uint64{b.h.ID, uint64(b.h.Install.Attempt)}
	if in := b.h.Install; in.State != "running" || b.counted[run] || in.Boot != b.boot.ID || in.PID != 0 {
		b.t.Errorf("run %d begins while the journal says %+v", len(b.runs), in)
	}
	b.counted[run] = true
	p.wantVariables(b.t, fmt.Sprint("OTAD_JOB=", run[0]), fmt.Sprint("OTAD_ATTEMPT=", run[1]))
	e := b.script[min(len(b.runs), len(b.script))-1]
	if e.refused != nil {
		return nil, e.refused
	}
	if e.Code != runs {
		p.ended <- e.Exit
	}
	return p, nil
}

// runs is the code of a run that comes to no end by itself.
const runs = -2

func exits(code int) end { return end{Exit: Exit{Code: code, Line: "line"}} }

func (p *fakeProcess) ID() (int, uint64)  { return 100, 200 }
func (p *fakeProcess) Ended() <-chan Exit { return p.ended }
func (p *fakeProcess) End()               { p.asked.Store(true); p.ended <- Exit{Code: 0, Line: "ended"} }

// otad is one process of otad on the board.
type otad struct {
	*Installer
	stop func()
	done chan struct{}
}

// serve starts otad.
func (b *board) serve() *otad {
	b.t.Helper()
	i, err := New(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.change(func() { b.wake = i.Wake })
	ctx, cancel := context.WithCancel(context.Background())
	o := &otad{Installer: i, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		i.Run(ctx)
	}()
	b.t.Cleanup(o.end)
	synctest.Wait()
	return o
}

// end is a stop that is waited for.
func (o *otad) end() {
	o.stop()
	<-o.done
}

// kill ends otad as a power cut does: what it does from now on is not written.
func (b *board) kill(o *otad) {
	b.mu.Lock()
	h, ready := b.h, b.ready
	b.ready = false
	b.mu.Unlock()
	for _, p := range b.begun() {
		select {
		case p.ended <- Exit{Code: -1}:
		default:
		}
	}
	o.end()
	b.mu.Lock()
	b.h, b.ready = h, ready
	b.mu.Unlock()
}

// wantStates checks what was written.
func (b *board) wantStates(states string) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := strings.Join(b.states, " "); got != states {
		b.t.Errorf("written: %s; want %s", got, states)
	}
}

func (b *board) wantRuns(n int) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.runs) != n {
		b.t.Fatalf("%d runs, want %d", len(b.runs), n)
	}
}

func (p *fakeProcess) wantVariables(t *testing.T, variables ...string) {
	t.Helper()
	for _, v := range variables {
		if !slices.Contains(p.environment, v) {
			t.Errorf("%s is not in %q", v, p.environment)
		}
	}
}

var errDisk = errors.New("no space left on device")

func run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
