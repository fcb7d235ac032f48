// Package unotify stops system calls of an unmodified program, and lets the caller
// decide on each of them, without root, ptrace, FUSE or LD_PRELOAD: a seccomp filter
// stops the caller and notifies a listener (SECCOMP_RET_USER_NOTIF, Linux 5.0),
// which lets the call go on (SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5) or
// answers it. See seccomp_unotify(2).
//
// A filter is installed by the process it is for. So the caller of this package
// is its own shim: started by Start, it gets to BecomeShim, installs the filter,
// passes the listener to its parent over descriptor 3 and becomes the program.
package unotify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUnavailable means that this machine does not allow a process without
// privileges to listen to another one.
var ErrUnavailable = errors.New("seccomp user notification does not work here")

// beShim is set in the environment of a process that is to become another.
const beShim = "UNOTIFY_BE_SHIM"

// Notification is struct seccomp_notif: a call that waits for its Response.
type Notification struct {
	ID    uint64
	PID   uint32 // of the thread
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// Response is struct seccomp_notif_resp.
type Response struct {
	ID    uint64
	Val   int64
	Errno int32 // negative
	Flags uint32
}

// BecomeShim does not return if this process was started by Start. The filter
// selects the calls; flags are added to those of the seccomp call.
func BecomeShim(filter func() ([]unix.SockFilter, error), flags uintptr) {
	if os.Getenv(beShim) == "" {
		return
	}
	os.Unsetenv(beShim)
	runtime.LockOSThread() // the filter is this thread's, and exec ends the others
	listener, err := install(filter, flags)
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

// install installs the filter on the calling thread and returns its listener.
func install(filter func() ([]unix.SockFilter, error), flags uintptr) (int, error) {
	code, err := filter()
	if err != nil {
		return 0, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl", err)
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, os.NewSyscallError("seccomp", errno)
	}
	return int(listener), nil
}

// Start starts cmd behind the filter and returns the listener, which is the
// caller's to close. cmd may have no ExtraFiles of its own. After an error that
// matches ErrUnavailable nothing runs.
func Start(cmd *exec.Cmd) (listener int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "listener")
	cmd.Args = append([]string{"shim", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/proc/self/exe"
	cmd.Env = append(cmd.Environ(), beShim+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return 0, err
	}
	if listener, err = receive(pair[0]); err != nil {
		cmd.Wait()
	}
	return listener, err
}

// receive receives the listener or the error of the shim.
func receive(socket int) (int, error) {
	text, rights := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := unix.Recvmsg(socket, text, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || len(messages) == 0 {
		return 0, fmt.Errorf("%w: %s", ErrUnavailable, strings.TrimRight(string(text[:n]), "\x00"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// Receive reads the next notification. An error means that the caller has ended
// or was interrupted meanwhile.
func Receive(listener int, n *Notification) error {
	return ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(n))
}

// Send answers a notification. An error means that the call no longer waits:
// the caller has ended, or repeats the call after a signal.
func Send(listener int, r Response) error {
	return ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// Serve calls handle for each notification until stop is closed or no process is
// left that could make a call.
func Serve(listener int, stop <-chan struct{}, handle func(Notification)) error {
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, 100); err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		var n Notification
		switch {
		case poll[0].Revents&unix.POLLIN != 0:
			if Receive(listener, &n) == nil { // an error: interrupted meanwhile
				handle(n)
			}
		case poll[0].Revents != 0:
			return nil
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// ReadMemory copies n bytes of another thread's memory.
func ReadMemory(tid int, addr uintptr, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b := make([]byte, n)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(n)
	got, err := unix.ProcessVMReadv(tid, local, []unix.RemoteIovec{{Base: addr, Len: n}}, 0)
	if err != nil || got != n {
		return nil, fmt.Errorf("process_vm_readv: %d of %d bytes: %w", got, n, err)
	}
	return b, nil
}

// ReadPath copies a path from another thread's memory. It reads page by page,
// because the page after the path may not be mapped.
func ReadPath(tid int, addr uintptr) (string, error) {
	const pageSize = 4096
	var all []byte
	for len(all) < unix.PathMax {
		n := pageSize - int(addr%pageSize)
		b, err := ReadMemory(tid, addr, n)
		if err != nil {
			return "", err
		}
		if end := bytes.IndexByte(b, 0); end >= 0 {
			return string(append(all, b[:end]...)), nil
		}
		all, addr = append(all, b...), addr+uintptr(n)
	}
	return "", errors.New("a path without an end")
}
