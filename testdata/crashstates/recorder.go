package crashstates

import (
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

// The recorder sees every call of an unmodified program that changes a
// directory, without root, ptrace, FUSE or LD_PRELOAD: a seccomp filter stops
// the caller and notifies a listener (SECCOMP_RET_USER_NOTIF, Linux 5.0), which
// reads the arguments out of the caller's memory, logs the call, and lets it go
// on (SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5). See seccomp_unotify(2).
//
// A filter is installed by the process it is for. So this program is its own
// shim: started with beShim set, it installs the filter, passes the listener to
// its parent over descriptor 3 and becomes the program to be recorded.

const beShim = "OTAD_CRASHSTATES_SHIM"

// ErrNoRecorder means that this machine does not let a process without
// privileges record another one.
var ErrNoRecorder = errors.New("seccomp user notification does not work here")

// recorded are the calls that the recorder understands or, of the last two
// lines, refuses: they change files too, but otad has no use for them.
var recorded = []uint32{
	unix.SYS_OPENAT, unix.SYS_PWRITE64, unix.SYS_WRITE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FCHMOD,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT,
	unix.SYS_WRITEV, unix.SYS_PWRITEV, unix.SYS_PWRITEV2, unix.SYS_TRUNCATE, unix.SYS_FCHMODAT, unix.SYS_OPENAT2,
	unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_MKDIRAT, unix.SYS_COPY_FILE_RANGE, unix.SYS_IO_URING_SETUP,
}

// BecomeShim does not return if this process was started to be recorded.
func BecomeShim() {
	if os.Getenv(beShim) == "" {
		return
	}
	os.Unsetenv(beShim)
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

// install puts the filter on the calling thread and returns its listener.
func install() (int, error) {
	native := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if native == 0 {
		return 0, fmt.Errorf("not written for %s", runtime.GOARCH)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl", err)
	}
	const nr, arch = 0, 4 // offsets in struct seccomp_data
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	equal := func(k uint32, then, otherwise int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(then), Jf: uint8(otherwise), K: k}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	filter := []unix.SockFilter{load(arch), equal(native, 0, len(recorded)+1), load(nr)}
	for i, call := range recorded {
		filter = append(filter, equal(call, len(recorded)-i, 0))
	}
	filter = append(filter, answer(unix.SECCOMP_RET_ALLOW), answer(unix.SECCOMP_RET_USER_NOTIF))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, os.NewSyscallError("seccomp", errno)
	}
	return int(listener), nil
}

// Recorder records the runs of programs on one directory.
type Recorder struct {
	Dir string // absolute, without symbolic links
	Log Log
	// Kill, if not nil, is asked before each operation: true kills the program
	// by SIGKILL, and the operation does not happen.
	Kill func(Op) bool

	err error // the first thing that could not be recorded
}

// Run runs the program at path to its end and returns its exit code, -1 when
// it was killed. What it does to the directory and says is added to the log.
func (r *Recorder) Run(path string, args ...string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := pair[0], os.NewFile(uintptr(pair[1]), "listener")
	defer unix.Close(ours)
	cmd := exec.Command(self, append([]string{path}, args...)...)
	cmd.Env = append(os.Environ(), beShim+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return 0, err
	}
	listener, err := receive(ours)
	if err != nil {
		cmd.Wait()
		return 0, err
	}
	defer unix.Close(listener)
	ended, served := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(served)
		r.serve(listener, cmd.Process, ended)
	}()
	cmd.Wait() // its error is the exit code
	close(ended)
	<-served
	return cmd.ProcessState.ExitCode(), r.err
}

// receive takes the listener that the shim sends, or its error.
func receive(socket int) (int, error) {
	text, rights := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := unix.Recvmsg(socket, text, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || len(messages) == 0 {
		return 0, fmt.Errorf("%w: %s", ErrNoRecorder, strings.TrimRight(string(text[:n]), "\x00"))
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

// serve treats one call after the other until the program has ended.
func (r *Recorder) serve(listener int, program *os.Process, ended <-chan struct{}) {
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, 100); err != nil && err != unix.EINTR {
			r.fail(os.NewSyscallError("poll", err))
			return
		}
		switch {
		case poll[0].Revents&unix.POLLIN != 0:
			r.one(listener, program)
		case poll[0].Revents != 0:
			return // nobody is left who could make a call
		}
		select {
		case <-ended:
			return
		default:
		}
	}
}

// one treats one call. It is logged only if the answer was taken: a signal, as
// Go sends them to its own threads, ends the wait of a call, which is then made
// anew.
func (r *Recorder) one(listener int, program *os.Process) {
	var call notification
	if ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&call)) != nil {
		return // interrupted meanwhile
	}
	ops, err := (&caller{tid: int(call.pid), dir: r.Dir}).decode(call)
	if err != nil {
		r.fail(err)
	}
	for _, o := range ops {
		if r.Kill != nil && r.Kill(o) {
			program.Kill()
			return
		}
	}
	goOn := response{id: call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&goOn)) == nil {
		r.Log = append(r.Log, ops...)
	}
}

func (r *Recorder) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("record: %w", err)
	}
}

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
