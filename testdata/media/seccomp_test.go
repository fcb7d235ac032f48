package media_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// becomeShim does not return if this process was started to become otad.
func becomeShim() {
	if os.Getenv(shimVariable) == "" {
		return
	}
	os.Unsetenv(shimVariable)
	runtime.LockOSThread() // the filter is this thread's, and exec ends the others
	listener, err := install()
	if err == nil {
		err = unix.Sendmsg(3, []byte{0}, unix.UnixRights(listener), nil, 0)
	}
	if err == nil {
		unix.Close(listener)
		unix.Close(3)
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	unix.Sendmsg(3, []byte(err.Error()), nil, nil, 0)
	unix.Exit(1)
}

// install puts the filter on the calling thread and returns its listener. Only a
// fatal signal may end the wait for our answer: those that Go sends to its own
// threads would make each call twice.
func install() (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl", err)
	}
	const nr, arg = 0, 16 // offsets in struct seccomp_data: the call's number, and the low half of its first argument
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr}}
	left := len(watched) + 3 // instructions to skip to the last one
	for call := range watched {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(left), K: uint32(call)})
		left--
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 2, K: unix.SYS_CLOCK_GETTIME},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: arg},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.CLOCK_REALTIME},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, os.NewSyscallError("seccomp", errno)
	}
	return int(listener), nil
}

// start starts cmd on the medium. The listener is served until cmd has ended.
func (m *medium) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "listener")
	cmd.Args = append([]string{"shim", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/proc/self/exe"
	cmd.Env = append(cmd.Environ(), shimVariable+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := receive(pair[0])
	if err != nil {
		cmd.Wait()
		t.Skipf("calls cannot be stopped here: %v", err)
	}
	go m.serve(listener)
}

// receive takes the listener that the shim sends, or its error.
func receive(socket int) (int, error) {
	text, rights := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	n, k, _, _, err := unix.Recvmsg(socket, text, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:k])
	if err != nil || len(messages) == 0 {
		return 0, errors.New(strings.TrimRight(string(text[:n]), "\x00"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// notification is struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32 // of the thread
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// serve treats the calls until nobody is left who could make one. Each waits on
// its own: a slow sync holds nothing else up.
func (m *medium) serve(listener int) {
	var pending sync.WaitGroup
	defer func() {
		pending.Wait()
		unix.Close(listener)
	}()
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents != 0 {
				return
			}
			continue
		}
		var n notification
		if ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) != nil {
			continue // the caller is gone
		}
		pending.Go(func() {
			r := m.treat(n)
			_ = ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) // the caller may be gone
		})
	}
}

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
