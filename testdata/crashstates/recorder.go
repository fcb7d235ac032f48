package crashstates

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"otad/testdata/unotify"
)

// The recorder stops every call of an unmodified program that changes a
// directory, reads its arguments from the caller's memory, logs them and lets
// the call happen. It makes the syncs itself.

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

	syncs  int  // that were begun; of the goroutine of record
	killed bool // the program was; of the goroutine of record

	mu     sync.Mutex    // guards Log and the fields below
	err    error         // the first thing that could not be recorded
	logged chan struct{} // closed when something is added to Log
}

// overtaken is how long a sync waits for the operations that are to overtake it.
const overtaken = 3 * time.Millisecond

// finished is how long a killed program waits for what its other threads have
// begun: those operations are in the log, so they have to happen.
const finished = 20 * time.Millisecond

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
	r.logged, r.killed = make(chan struct{}), false
	ended := make(chan struct{})
	var served sync.WaitGroup
	served.Go(func() {
		r.fail(unotify.Serve(listener, ended, func(n unotify.Notification) { r.record(listener, cmd.Process, n, &served) }))
	})
	cmd.Wait() // its error is the exit code
	close(ended)
	served.Wait()
	return cmd.ProcessState.ExitCode(), r.err
}

// record handles one call. The call is logged only if the kernel accepts the
// answer: a signal, such as Go sends to its own threads, ends the wait of a call,
// and the program repeats the call.
//
// A change is logged when it begins, since from then on it may be on the medium. A
// sync is logged when it has ended, since only then it has made something durable.
// Other threads go on meanwhile.
func (r *Recorder) record(listener int, program *os.Process, call unotify.Notification, served *sync.WaitGroup) {
	if r.killed {
		return // there is nobody whose memory could be read
	}
	c := &caller{tid: int(call.PID), dir: r.Dir}
	ops, err := c.decode(call)
	r.fail(err)
	for _, o := range ops {
		if r.Kill != nil && r.Kill(o) {
			time.Sleep(finished)
			r.killed = true
			program.Kill()
			return
		}
	}
	if len(ops) == 1 && (ops[0].Kind == Sync || ops[0].Kind == Datasync) {
		r.syncs++
		overtakes := r.syncs % 4
		served.Go(func() { r.sync(listener, call.ID, c.fd(call.Args[0]), ops[0], overtakes) })
		return
	}
	r.add(listener, unotify.Response{ID: call.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}, ops)
	for _, o := range ops {
		if r.Stop != nil && r.Stop(o) {
			r.fail(program.Signal(syscall.SIGTERM))
		}
	}
}

// sync makes the sync of a caller that waits for it, after n operations of other
// threads, if there are so many in a short time.
func (r *Recorder) sync(listener int, id uint64, path string, o Op, n int) {
	late := time.Now().Add(overtaken)
	for range n {
		r.mu.Lock()
		logged := r.logged
		r.mu.Unlock()
		select {
		case <-logged:
		case <-time.After(time.Until(late)):
		}
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return // the program was killed
	}
	if err == nil {
		err = errors.Join(file.Sync(), file.Close())
	}
	r.fail(err)
	r.add(listener, unotify.Response{ID: id}, []Op{o})
}

// add answers a call and adds it to the log.
func (r *Recorder) add(listener int, answer unotify.Response, ops []Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if unotify.Send(listener, answer) != nil {
		return
	}
	r.Log = append(r.Log, ops...)
	close(r.logged)
	r.logged = make(chan struct{})
}

func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("record: %w", err)
	}
}
