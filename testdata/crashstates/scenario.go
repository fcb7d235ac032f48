package crashstates

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// Interval is the checkpoint interval of every run, the smallest that otad
// accepts.
const Interval = 64 << 10

// Job is a package to download.
type Job struct {
	Name string
	MD5  string // of the request
	// Spoiled: MD5 is not that of the package, so the job ends in Failed.
	Spoiled bool
	Size    int64 // of the request; 0: learned from the first response
	// Minisig is the signature, at the URL with .minisig after it; empty: none is
	// asked for.
	Minisig string
	// Script is the misbehaviour of the origin during the recording.
	Script []*origintest.Rule

	object origintest.Object
	toSlot bool   // it goes to the device
	output string // path of that in the recorded run
	every  int64  // checkpoint interval; 0: Interval
	// replaced: an answer takes over, so that only the first kept bytes that are
	// reported durable are promised. Its report may be late.
	replaced bool
	kept     int64
	url      string // of the recorded run's origin
	addr     string // of that
}

// NewJob returns a job for a package of size bytes. The bytes are generated
// once, because they are served thousands of times.
func NewJob(name string, size int64, script ...*origintest.Rule) *Job {
	object := origintest.Object{Size: size, Seed: uint64(size)}
	whole := make([]byte, size)
	object.ReadAt(whole, 0) // which cannot fail
	return &Job{Name: name, MD5: object.MD5(), Script: script, object: origintest.Object{
		Bytes: whole, ETag: fmt.Sprintf(`"%d"`, size), LastModified: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}}
}

// signature returns the rule of an origin for the signature, if there is one.
func (j *Job) signature() []*origintest.Rule {
	if j.Minisig == "" {
		return nil
	}
	return []*origintest.Rule{origintest.Always().Path("/" + j.Name + ".minisig").Replace(origintest.Object{Bytes: []byte(j.Minisig)})}
}

func (j *Job) part() string { return j.Name + ".otad-part" }

// journalJob returns the job as it is posted.
func (j *Job) journalJob() journal.Job {
	return journal.Job{URL: j.url, Name: j.Name, MD5: j.MD5, Size: j.Size, Output: j.output}
}

// isWhole reports whether b is the package.
func (j *Job) isWhole(b []byte) bool { return bytes.Equal(b, j.object.Bytes) }

// Step is one process: otad fetch of a job, or otad serve.
type Step struct {
	Job  *Job
	Kill *Point // nil: it runs to its end
	Exit int
	More []string // flags
	// Serve: the process is otad serve. It finds Job failed in the journal, starts
	// it again by itself, and is ended by SIGTERM when it has reported Ready.
	Serve bool
	// Until is the stage of the installation at which a Serve is ended instead.
	Until   fsm.Stage
	Expects string // see HandOff
}

// Point is the n-th operation of this kind on this name in a step, from 1. A
// process that is killed at a point does not perform the operation.
type Point struct {
	Kind Kind
	Name string
	N    int
}

// Scenario is several steps on one state directory.
type Scenario struct {
	Name  string
	From  *Crash // the state before the first step; nil: an empty directory
	Slot  int64  // bytes of the device, which holds an earlier content; 0: there is none
	Steps []Step
}

// Run is a recorded scenario.
type Run struct {
	Name       string
	Log        Log
	From       *Crash
	Start      *Disk
	Invariants *Invariants // at the start
	Jobs       []*Job
	old        []byte // content of the device before the first step; nil: there is none
}

// Record runs the scenario with the otad at path in dir, which is created. It
// checks that the log is complete: the replayed log must give the same
// directory.
func (s *Scenario) Record(tb origintest.TB, path, dir string) (*Run, error) {
	run := &Run{Name: s.Name, From: s.From, Start: new(Disk), Invariants: new(Invariants)}
	var start State
	if s.From != nil {
		start = s.From.State()
		run.Start, run.Invariants, run.Jobs = mount(start), s.From.Invariants, slices.Clone(s.From.Run.Jobs)
	}
	if s.Slot > 0 {
		start, run.old = withSlot(s.Slot)
		run.Start = mount(start)
	}
	if err := start.write(dir); err != nil {
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	recorder := &Recorder{Dir: dir}
	for _, step := range s.Steps {
		if step.Job.toSlot {
			step.Job.output = place(dir, slotName)
		}
		run.add(tb, step.Job)
		recorder.Log = append(recorder.Log, Op{Kind: Begin, Job: step.Job, Serve: step.Serve, Expects: step.Expects})
		recorder.Kill, recorder.Stop = step.Kill.reached(), nil
		if step.Serve {
			recorder.Stop, step.Exit = reportsReady, 0 // of a SIGTERM
			if step.Until != "" {
				recorder.Stop = reportsStage(step.Until)
			}
		}
		code, err := recorder.Run(path, step.args(dir)...)
		if err != nil {
			return nil, err
		}
		if step.Kill != nil {
			step.Exit = -1
		}
		if code != step.Exit {
			return nil, fmt.Errorf("%s: exit code %d instead of %d: %v", s.Name, code, step.Exit, recorder.Log[len(recorder.Log)-1])
		}
	}
	run.Log = recorder.Log.inTime()
	return run, run.compare(dir)
}

// add adds a job to the run and starts an origin for it.
func (r *Run) add(tb origintest.TB, job *Job) {
	if !slices.Contains(r.Jobs, job) {
		r.Jobs = append(r.Jobs, job)
	}
	if job.url == "" {
		origin := origintest.New(tb, job.object, append(job.signature(), job.Script...)...)
		job.url = origin.URLFor("/" + job.Name)
		job.addr = strings.TrimSuffix(strings.TrimPrefix(job.url, "http://"), "/"+job.Name)
	}
}

func (s *Step) args(dir string) []string {
	// Checkpoints depend on the bytes alone, unless a step has another interval.
	args := []string{"-state-dir", dir, "-log-format", "json", "-checkpoint", strconv.FormatInt(s.Job.interval(), 10), "-checkpoint-interval", "0",
		"-min-free", "0"}
	if s.Serve {
		// A repeated failure is logged at the level debug.
		args = append([]string{"serve", "-listen", "127.0.0.1:0", "-log-level", "debug"}, args...)
		return append(args, s.More...)
	}
	args = append([]string{"fetch"}, args...)
	args = append(args, "-name", s.Job.Name, "-md5", s.Job.MD5)
	if s.Job.toSlot {
		args = append(args, "-output", s.Job.output)
	}
	if s.Job.Size > 0 {
		args = append(args, "-size", strconv.FormatInt(s.Job.Size, 10))
	}
	return append(append(args, s.More...), s.Job.url)
}

// reportsReady reports whether o is the report that a job became Ready.
func reportsReady(o Op) bool {
	r, ok := parseReport(string(o.Data))
	return o.Kind == Print && ok && r.To == string(fsm.Ready)
}

func (p *Point) reached() func(Op) bool {
	if p == nil {
		return nil
	}
	left := p.N
	return func(o Op) bool {
		if o.is(p.Kind, p.Name) {
			left--
		}
		return left == 0
	}
}

// compare compares the replayed log with the real directory, byte for byte.
func (r *Run) compare(dir string) error {
	disk := r.Start
	for _, o := range r.Log {
		disk = disk.step(o)
	}
	replayed := disk.now()
	real, err := readState(dir)
	if err != nil {
		return err
	}
	for name := range real {
		if _, there := replayed[name]; !there {
			return fmt.Errorf("%s: %s is in the directory and not in the log", r.Name, name)
		}
	}
	for name, content := range replayed {
		got, there := real[name]
		switch {
		case !there:
			return fmt.Errorf("%s: %s is in the log and not in the directory", r.Name, name)
		case got.mode != content.mode:
			return fmt.Errorf("%s: %s has mode %o, in the log %o", r.Name, name, got.mode, content.mode)
		case !bytes.Equal(got.bytes(), content.bytes()):
			return fmt.Errorf("%s: %s has other bytes than in the log", r.Name, name)
		}
	}
	return nil
}

// write creates dir with the state in it and nothing else.
func (s State) write(dir string) error {
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		return err
	}
	for name, c := range s {
		path, mode := place(dir, name), os.FileMode(c.mode)
		if err := errors.Join(os.WriteFile(path, c.bytes(), mode), os.Chmod(path, mode)); err != nil {
			return err
		}
	}
	if _, there := s[slotName]; !there {
		return nil
	}
	return renameDevices(dir)
}

// readState returns the state of a directory.
func readState(dir string) (State, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := []string{slotName}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	s := make(State)
	for _, name := range names {
		data, err := os.ReadFile(place(dir, name))
		if name == slotName && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(place(dir, name))
		if err != nil {
			return nil, err
		}
		s[name] = Content{mode: uint32(info.Mode().Perm())}.write(0, data)
	}
	return s, nil
}

// inode returns the number of a file.
func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// mount returns the disk that holds s durably, after a reboot.
func mount(s State) *Disk {
	d := &Disk{visible: make(map[string]int)}
	for name, c := range s {
		d.visible[name] = len(d.files)
		d.files = append(d.files, file{now: c, durable: c})
	}
	d.durable = d.visible
	return d
}
