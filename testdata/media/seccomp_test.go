package media_test

import (
	"errors"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"otad/testdata/unotify"
)

// becomeShim does not return if this process was started to become otad. Only a
// fatal signal may end the wait for our response: the signals that Go sends to
// its own threads would make each call twice.
func becomeShim() { unotify.BecomeShim(filter, unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) }

// filter stops the watched calls and reads of the clock.
func filter() ([]unix.SockFilter, error) {
	const nr, arg = 0, 16 // offsets in struct seccomp_data: the call's number, and the low half of its first argument
	code := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr}}
	left := len(watched) + 3 // instructions to skip to the last one
	for call := range watched {
		code = append(code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(left), K: uint32(call)})
		left--
	}
	return append(code,
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 2, K: unix.SYS_CLOCK_GETTIME},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: arg},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.CLOCK_REALTIME},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF}), nil
}

// start returns a function that starts a command on the medium. The listener is
// served until the command has ended.
func (m *medium) start(t *testing.T) func(*exec.Cmd) error {
	return func(cmd *exec.Cmd) error {
		listener, err := unotify.Start(cmd)
		if errors.Is(err, unotify.ErrUnavailable) {
			t.Skip(err)
		}
		if err == nil {
			go m.serve(listener)
		}
		return err
	}
}

// serve handles the calls until no process is left that could make one. Each
// call waits in a goroutine of its own: a slow sync delays no other call.
func (m *medium) serve(listener int) {
	var pending sync.WaitGroup
	_ = unotify.Serve(listener, nil, func(n unotify.Notification) {
		pending.Go(func() {
			_ = unotify.Send(listener, m.respond(n)) // an error: the caller is gone
		})
	})
	pending.Wait()
	unix.Close(listener)
}
