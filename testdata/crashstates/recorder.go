package crashstates

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"otad/testdata/unotify"
)

// The recorder stops every call of an unmodified program that changes a
// directory, reads its arguments from the caller's memory, logs them and lets
// the call happen.

// recorded are the calls that the recorder supports or, in the last two lines,
// refuses: they change files too, but otad does not use them.
var recorded = []uint32{
	unix.SYS_OPENAT, unix.SYS_PWRITE64, unix.SYS_WRITE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FCHMOD,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT,
	unix.SYS_WRITEV, unix.SYS_PWRITEV, unix.SYS_PWRITEV2, unix.SYS_TRUNCATE, unix.SYS_FCHMODAT, unix.SYS_OPENAT2,
	unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_MKDIRAT, unix.SYS_COPY_FILE_RANGE, unix.SYS_IO_URING_SETUP,
}

// BecomeShim does not return if this process was started to be recorded.
func BecomeShim() { unotify.BecomeShim(filter, 0) }

// filter stops the recorded calls and allows all others.
func filter() ([]unix.SockFilter, error) {
	native := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if native == 0 {
		return nil, fmt.Errorf("not written for %s", runtime.GOARCH)
	}
	const nr, arch = 0, 4 // offsets in struct seccomp_data
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	equal := func(k uint32, then, otherwise int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(then), Jf: uint8(otherwise), K: k}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	code := []unix.SockFilter{load(arch), equal(native, 0, len(recorded)+1), load(nr)}
	for i, call := range recorded {
		code = append(code, equal(call, len(recorded)-i, 0))
	}
	return append(code, answer(unix.SECCOMP_RET_ALLOW), answer(unix.SECCOMP_RET_USER_NOTIF)), nil
}

// Recorder records the runs of programs on one directory.
type Recorder struct {
	Dir string // absolute, without symbolic links
	Log Log
	// Kill, if not nil, is called before each operation. If it returns true,
	// the program is killed by SIGKILL, and the operation does not happen.
	Kill func(Op) bool
	// Stop, if not nil, is called after each operation. If it returns true, the
	// program gets SIGTERM.
	Stop func(Op) bool

	err error // the first thing that could not be recorded
}

// Run runs the program at path to its end and returns its exit code, -1 when it
// was killed. Its changes of the directory and its output are added to the log.
func (r *Recorder) Run(path string, args ...string) (int, error) {
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	listener, err := unotify.Start(cmd)
	if err != nil {
		return 0, err
	}
	defer unix.Close(listener)
	ended, served := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(served)
		r.fail(unotify.Serve(listener, ended, func(n unotify.Notification) { r.record(listener, cmd.Process, n) }))
	}()
	cmd.Wait() // its error is the exit code
	close(ended)
	<-served
	return cmd.ProcessState.ExitCode(), r.err
}

// record handles one call. The call is logged only if the kernel accepts the
// answer: a signal, such as Go sends to its own threads, ends the wait of a call,
// and the program repeats the call.
func (r *Recorder) record(listener int, program *os.Process, call unotify.Notification) {
	ops, err := (&caller{tid: int(call.PID), dir: r.Dir}).decode(call)
	r.fail(err)
	for _, o := range ops {
		if r.Kill != nil && r.Kill(o) {
			program.Kill()
			return
		}
	}
	goOn := unotify.Response{ID: call.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if unotify.Send(listener, goOn) != nil {
		return
	}
	r.Log = append(r.Log, ops...)
	for _, o := range ops {
		if r.Stop != nil && r.Stop(o) {
			r.fail(program.Signal(syscall.SIGTERM))
		}
	}
}

func (r *Recorder) fail(err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("record: %w", err)
	}
}
