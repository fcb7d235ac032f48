// Package media_test runs the real otad on disks that are full, slow, broken or
// read-only, and with a clock that is wrong.
//
//	go test -count=1 ./testdata/media
//
// Two tools make such disks. The tests of small file systems mount them (tmpfs,
// and ext4 on a loop device), for which root is needed. The others stop otad in
// a system call, without root, and delay it or make it fail (medium_test.go).
package media_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

// The test binary starts itself: it builds otad, then it runs the tests in a mount
// namespace, and it is the shim of each otad whose system calls are intercepted.

// otadVariable names the directory of the binaries in that namespace.
const otadVariable = "MEDIA_OTAD"

// patience is the limit of every wait, on a machine that may have other work.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	becomeShim()
	if os.Getenv(otadVariable) != "" {
		os.Exit(m.Run())
	}
	os.Exit(outside())
}

// outside builds otad and runs the tests in a mount namespace of their own. The
// mounts and their loop devices vanish with the last process in it. Without
// root the tests run without a namespace.
func outside() int {
	dir, err := os.MkdirTemp("", "otad-media-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// The tests wait more than they work.
	cmd := otadrun.Command("/proc/self/exe", append([]string{"-test.parallel=8"}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), otadVariable+"="+dir, "TMPDIR="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		fmt.Fprintf(os.Stderr, "enter a mount namespace: %v\n", err)
		return 2
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return 2 // ended by a signal
}

// build compiles otad as the Makefile does, and once more for the tests of the
// clock (clock_test.go): with its symbols, and with a build time in 2100.
func build(dir string) error {
	for name, flags := range map[string]string{"otad": "-s -w", "otad-2100": "-X main.built=4102444800"} {
		b := otadrun.Build{Out: filepath.Join(dir, name), LDFlags: flags + " -X main.version=test", KeepPaths: true}
		if err := b.Run(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// otad returns the path of one of the binaries.
func otad(name string) string { return filepath.Join(os.Getenv(otadVariable), name) }

// check ends the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until done returns true.
func eventually(t *testing.T, text string, done func() bool) {
	t.Helper()
	check(t, otadrun.Await(patience, text, func() (bool, error) { return done(), nil }))
}

// must runs a program and ends the test if it fails.
func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if output, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
}
