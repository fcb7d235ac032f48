package app

import (
	"context"
	"fmt"

	"otad/board/systemd"
	"otad/fsm"
	"otad/netio"
)

// unitStatus is the line of "systemctl status". Its messages are sent by a
// goroutine of their own: the machine, which reports its changes here, must not
// wait for the init system.
type unitStatus struct {
	idle string      // the line without a job
	next chan string // the latest line; holds one
	last string      // given to next before
}

// note takes each snapshot of a change, in order, from one goroutine at a time.
func (u *unitStatus) note(s fsm.Snapshot) {
	line := u.idle
	switch s.State {
	case fsm.Downloading, fsm.Verifying:
		line = fmt.Sprintf("%s %d %%", s.Name, s.Progress)
	case fsm.Ready:
		line = s.Name + " ready"
		if s.Stage != "" {
			line = s.Name + ": " + s.Message
		}
		if s.Error != "" {
			line += ": " + s.Error
		}
	case fsm.Failed:
		line = s.Name + " failed: " + s.Error
	}
	if line = netio.Printable(line); line == u.last {
		return
	}
	u.last = line
	select {
	case <-u.next: // replaced before it was sent
	default:
	}
	u.next <- line
}

// run sends until ctx ends. An error is not logged: NotifyReady has had the same.
func (u *unitStatus) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-u.next:
			_ = systemd.NotifyStatus(line)
		}
	}
}
