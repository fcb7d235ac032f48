// Package packages_test tests what make install and make dist make: the packages are
// installed, started, upgraded and removed on a small Debian with its own systemd, and
// on a stand-in for OpenWrt; and two machines make the same bytes.
//
//	make test-package
//	go test -v -run Debian ./testdata/packages
//	go test -v -run SameBytes ./testdata/packages -boards "arm arm64"
//
// It needs root, and testdata/packages/setup.sh to have run. Each board has
// namespaces of its own. Nothing of this machine is changed.
package packages_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

// patience is the limit of every wait, on a machine that may have other work.
const patience = 60 * time.Second

var boards = flag.String("boards", runtime.GOARCH, "what two machines build for comparison; its first is this machine's")

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() != 0 {
		fmt.Println("SKIP: NOTHING IS TESTED HERE, namespaces and dpkg need root")
		os.Exit(0)
	}
	var err error
	if work, err = os.MkdirTemp("", "otad-packages-"); err == nil {
		err = os.Chmod(work, 0o755) // nobody builds in it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(work)
	os.Exit(code)
}

// work holds the clones, and the packages that are made in them.
var work string

// check ends the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must runs a program and returns its output.
func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// eventually ends the test unless the condition is met in time.
func eventually(t *testing.T, text string, met func() bool) {
	t.Helper()
	check(t, otadrun.Await(patience, text, func() (bool, error) { return met(), nil }))
}

// clone returns a copy of this repository in the folder name of work, with the changes
// that are not committed yet, in one commit.
func clone(t *testing.T, name string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	check(t, err)
	cloning.Lock()
	defer cloning.Unlock()
	git := func(dir string, args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=test", "-c", "user.email=test@localhost"}, args...)...)
		cmd.Dir = dir
		return must(t, cmd)
	}
	if commit == "" {
		commit = git(root, "stash", "create")
	}
	if commit == "" {
		commit = git(root, "rev-parse", "HEAD")
	}
	dir := filepath.Join(work, name)
	git(root, "clone", "-q", "--shared", "--no-checkout", root, dir)
	git(dir, "checkout", "-q", "--detach", commit)
	git(dir, "repack", "-a", "-d", "-q") // it needs the other's objects no longer
	check(t, os.Remove(filepath.Join(dir, ".git/objects/info/alternates")))
	return dir
}

// commit is what all clones have; a stash has the time when it was made. It is
// guarded by cloning.
var (
	cloning sync.Mutex
	commit  string
)

// packageDir returns a folder with the packages of this machine's architecture, as
// make dist makes them of a version; "": that of git.
func packageDir(t *testing.T, version string) string {
	t.Helper()
	making.Lock()
	defer making.Unlock()
	dir := filepath.Join(work, "dist"+version)
	if _, err := os.Stat(filepath.Join(dir, "SHA256SUMS")); err == nil {
		return dir
	}
	source := filepath.Join(work, "one")
	if _, err := os.Stat(source); err != nil {
		source = clone(t, "one")
	}
	args := []string{"dist", "DIST=" + dir, "BOARDS=" + *boards}
	if version != "" {
		args = append(args, "VERSION="+version)
	}
	cmd := exec.Command("make", args...)
	cmd.Dir = source
	must(t, cmd)
	return dir
}

// making is held while packages are made in the clone "one".
var making sync.Mutex

// only returns the one file that matches the pattern.
func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	check(t, err)
	if len(found) != 1 {
		t.Fatalf("%s: %q", pattern, found)
	}
	return found[0]
}

// deb returns the package of a version for Debian on this machine.
func deb(t *testing.T, version string) string {
	return only(t, filepath.Join(packageDir(t, version), "otad_*_"+strings.Fields(*boards)[0]+".deb"))
}
