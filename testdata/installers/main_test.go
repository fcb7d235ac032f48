// Package installers_test runs the installers of board/init/installers with Debian's
// RAUC and SWUpdate: alone, as otad's command, and under otad's unit.
//
//	make test-board
//	go test -v -run RAUC ./testdata/installers
//
// Packages are signed here, slots are files, RAUC has a bus of its own. It needs root
// and the Debian packages of make test-board. Nothing of this machine is changed.
package installers_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"otad/testdata/namespace"
	"otad/testdata/otadrun"
)

// patience is the limit of every wait, on a machine that may have other work.
const patience = 60 * time.Second

// work holds the otad under test.
var work string

func TestMain(m *testing.M) {
	namespace.Enter() // the first process of a board is this program, too
	if os.Geteuid() != 0 {
		fmt.Println("SKIP: NOTHING IS TESTED HERE, mounts and namespaces need root")
		os.Exit(0)
	}
	var err error
	if work, err = os.MkdirTemp("", "otad-installers-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(work)
	os.Exit(code)
}

// check ends the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually ends the test unless the condition is met in time.
func eventually(t *testing.T, text string, met func() bool) {
	t.Helper()
	check(t, otadrun.Await(patience, text, func() (bool, error) { return met(), nil }))
}

// shells are those that have to run the installers.
var shells = map[string][]string{"dash": {"dash"}, "ash": {"busybox", "ash"}}

// underEachShell runs the test with a rig of its own for each shell.
func underEachShell(t *testing.T, script string, test func(t *testing.T, r *rig)) {
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRig(t, script, shell...))
		})
	}
}

const systemPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// rig runs one installer as otad does.
type rig struct {
	t        *testing.T
	dir      string // slots, settings, sockets
	state    string // otad's state directory
	command  []string
	path     string // PATH
	settings string // content of the settings file
}

func newRig(t *testing.T, script string, shell ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	script, err := filepath.Abs(filepath.Join("../../board/init/installers", script))
	check(t, err)
	r := &rig{t: t, dir: dir, state: filepath.Join(dir, "state"), path: systemPath}
	r.command = append(shell, script, r.file("settings"))
	check(t, os.Mkdir(r.state, 0o755))
	return r
}

// file returns the name of a file of the rig.
func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

// write writes a file of the rig; one with the suffix .sh may be run.
func (r *rig) write(name, content string) {
	r.t.Helper()
	mode := os.FileMode(0o644)
	if filepath.Ext(name) == ".sh" {
		mode = 0o755
	}
	check(r.t, os.WriteFile(r.file(name), []byte(content), mode))
}

// read returns a file of the rig; "": there is none.
func (r *rig) read(name string) string {
	text, _ := os.ReadFile(r.file(name))
	return string(text)
}

// event is one run of the command.
type event struct {
	Name    string // "": ready
	Attempt int    // 0: 1
	Package string // file of the rig
	Device  string // file of the rig that the package is on, as with -output; "": none
	Version string // "": 1.2.3
	Digest  string // MD5; "": that of the package
}

// start starts the command with the environment of otad's hand-off, and nothing else.
func (r *rig) start(e event) *program {
	r.t.Helper()
	if e.Name == "" {
		e.Name = "ready"
	}
	if e.Version == "" {
		e.Version = "1.2.3"
	}
	if e.Digest == "" {
		sum, err := otadrun.MD5(r.file(e.Package))
		check(r.t, err)
		e.Digest = sum
	}
	size, err := otadrun.FileSize(r.file(e.Package))
	check(r.t, err)
	r.write("settings", r.settings)
	where := "OTAD_PACKAGE=" + r.file(e.Package)
	if e.Device != "" {
		where = "OTAD_DEVICE=" + r.file(e.Device)
	}
	cmd := otadrun.Command(r.command[0], r.command[1:]...)
	cmd.Dir = r.state
	cmd.Env = []string{
		"PATH=" + r.path, "TZ=UTC", "LANG=C",
		"OTAD_EVENT=" + e.Name, where, "OTAD_NAME=" + e.Package, "OTAD_VERSION=" + e.Version,
		"OTAD_SIZE=" + strconv.FormatInt(size, 10), "OTAD_MD5=" + e.Digest, "OTAD_SHA256=", "OTAD_SIGNED_BY=",
		"OTAD_ATTEMPT=" + strconv.Itoa(max(e.Attempt, 1)), "OTAD_JOB=1",
	}
	return r.daemon(cmd)
}

// want waits for the end of the command, and reports another exit code or a last line
// without the text.
func (r *rig) want(p *program, code int, text string) {
	r.t.Helper()
	got, err := p.WaitFor(patience)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, p.out)
	}
	all := strings.TrimSpace(p.out.String())
	if got.Code != code || !strings.Contains(all[strings.LastIndexByte(all, '\n')+1:], text) {
		r.t.Fatalf("exit code %d, want %d and a last line with %q:\n%s", got.Code, code, text, all)
	}
}

// program is a running program of a rig.
type program struct {
	*otadrun.Process
	out *otadrun.Output // stdout and stderr
}

// daemon starts a program with mounts of its own. Its children do not outlive the test.
func (r *rig) daemon(cmd *exec.Cmd) *program {
	r.t.Helper()
	out := &otadrun.Output{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	cmd.WaitDelay = time.Second // a child may hold the pipe
	p, err := otadrun.StartBy(cmd, namespace.StartOnOwnThread)
	check(r.t, err)
	d := &program{p, out}
	r.t.Cleanup(func() {
		if d.end(); r.t.Failed() {
			r.t.Logf("%s wrote:\n%s", cmd.Path, d.out)
		}
	})
	return d
}

// end kills the program and its children.
func (p *program) end() {
	_ = syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGKILL) // the error reports that it has ended
	p.Wait()
}

// must runs a program in the rig's folder.
func (r *rig) must(name string, args ...string) {
	r.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = r.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

// wrap puts a program before the system's one of the same name. It may call that as
// "$REAL". It writes its name and arguments to the file "calls".
func (r *rig) wrap(name, body string) {
	r.t.Helper()
	text := strings.NewReplacer("NAME", name, "DIR", r.dir).Replace("#!/bin/sh\necho NAME \"$@\" >>DIR/calls\nREAL=/bin/NAME\n") + body
	check(r.t, os.MkdirAll(r.file("programs"), 0o755))
	check(r.t, os.WriteFile(r.file(filepath.Join("programs", name)), []byte(text), 0o755))
	r.path = r.file("programs") + ":" + systemPath
}

// image writes a file of so many bytes, which differ by name.
func (r *rig) image(name string, size int64) {
	r.t.Helper()
	_, err := otadrun.WritePackage(r.file(name), size, name)
	check(r.t, err)
}

// tampered copies a package with one byte changed.
func (r *rig) tampered(from, to string, at int64) {
	r.t.Helper()
	text := []byte(r.read(from))
	text[at] ^= 1
	r.write(to, string(text))
}

// wantSlot reports a slot that does not begin with the bytes of the image.
func (r *rig) wantSlot(slot, image string) {
	r.t.Helper()
	want := r.read(image)
	got := make([]byte, len(want))
	f, err := os.Open(r.file(slot))
	check(r.t, err)
	defer f.Close()
	if _, err := io.ReadFull(f, got); err != nil || string(got) != want {
		r.t.Fatalf("%s does not hold %s: %v", slot, image, err)
	}
}

// slots makes two empty slots.
func (r *rig) slots() {
	for _, name := range []string{"slot-a.img", "slot-b.img"} {
		r.write(name, "")
		check(r.t, os.Truncate(r.file(name), 16<<20))
	}
}

// sha256 returns the digest of a file, in hexadecimal.
func (r *rig) sha256(name string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(r.read(name))))
}

func TestShellcheckFindsNothing(t *testing.T) {
	scripts, err := filepath.Glob("../../board/init/installers/*.sh")
	check(t, err)
	if len(scripts) == 0 {
		t.Fatal("there is no script")
	}
	if out, err := exec.Command("shellcheck", scripts...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
