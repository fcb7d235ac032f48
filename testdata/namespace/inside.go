package namespace

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// insideVariable holds the spec, in JSON, for the first process of a board.
const insideVariable = "OTAD_TEST_BOARD"

// Spec describes the root of a board and its init system.
type Spec struct {
	Init    []string          // program and arguments of process 1
	Usr     bool              // the board has this machine's /usr; what it writes there is its own
	Otad    string            // is at /usr/bin/otad
	Folders []string          // made before the files
	Files   map[string]string // content by path; one in a folder of the name init.d, or with the suffix .sh, may be run
	Copies  map[string]string // a file of this machine by path; all may be run
	Links   map[string]string // target by path
	Devices []Device

	Console string // terminal of this machine that is /dev/console; New sets it
}

// Device is a device file of root's.
type Device struct {
	Path         string
	Type         uint32 // unix.S_IFBLK or unix.S_IFCHR
	Major, Minor uint32
}

// Enter has to be called first in TestMain. In the first process of a board, which is
// the test's own program, it does not return: it becomes the init system.
func Enter() {
	if spec := os.Getenv(insideVariable); spec != "" {
		fmt.Fprintln(os.Stderr, becomeInit(spec)) // returns only an error
		os.Exit(2)
	}
}

// becomeInit makes the board's root in the namespaces of this process, enters it
// and becomes the init system. It returns only an error.
func becomeInit(text string) error {
	runtime.LockOSThread() // the cgroup namespace is that of a thread until exec
	var s Spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	os.Unsetenv(insideVariable)
	unix.Umask(0o022)
	root := "/mnt" // any directory: the mount is seen in this namespace alone
	for _, step := range []func() error{
		func() error { return unix.Unshare(unix.CLONE_NEWCGROUP) },
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("root", root, "tmpfs", 0, "mode=755") },
		func() error { return os.Chdir(root) },
		s.makeUsr,
		makeSystem,
		func() error { return put("dev/console", strings.NewReader(""), 0o600) },
		func() error { return unix.Mount(s.Console, "dev/console", "", unix.MS_BIND, "") },
		s.fill,
		func() error { return unix.PivotRoot(".", "old") },
		func() error { return os.Chdir("/") },
		func() error { return unix.Unmount("/old", unix.MNT_DETACH) },
		func() error { return os.Remove("/old") },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("make the root of a board: %w", err)
		}
	}
	return unix.Exec(s.Init[0], s.Init, append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin"))
}

// makeUsr makes /usr and the links to it.
func (s *Spec) makeUsr() error {
	if !s.Usr {
		return os.MkdirAll("usr/bin", 0o755)
	}
	for _, dir := range []string{"usr", "upper/changes", "upper/work"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if target, err := os.Readlink("/" + name); err == nil {
			if err := os.Symlink(target, name); err != nil {
				return err
			}
		}
	}
	return unix.Mount("usr", "usr", "overlay", 0, "lowerdir=/usr,upperdir=upper/changes,workdir=upper/work")
}

// makeSystem makes the file systems of the kernel and the devices.
func makeSystem() error {
	if err := os.Mkdir("dev", 0o755); err != nil {
		return err
	}
	// A file system of its own: over a folder systemd mounts devtmpfs, which has the
	// devices of this machine.
	if err := unix.Mount("dev", "dev", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := os.Symlink("pts/ptmx", "dev/ptmx"); err != nil {
		return err
	}
	for _, dir := range []string{"dev/pts", "dev/shm", "etc", "old", "proc", "root", "run", "sys", "tmp", "var/lib", "var/log"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", "var/run"); err != nil {
		return err
	}
	if err := os.Chmod("tmp", 0o1777); err != nil {
		return err
	}
	for _, m := range []struct{ kind, dir string }{{"proc", "proc"}, {"sysfs", "sys"}, {"cgroup2", "sys/fs/cgroup"}, {"tmpfs", "run"}} {
		flags := uintptr(0)
		if m.kind == "sysfs" {
			flags = unix.MS_RDONLY
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.kind, err)
		}
	}
	// The settings of the kernel are this machine's, too.
	if err := unix.Mount("proc/sys", "proc/sys", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.Mount("", "proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	for name, number := range map[string][2]uint32{"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0}} {
		if err := unix.Mknod("dev/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(number[0], number[1]))); err != nil {
			return err
		}
		if err := os.Chmod("dev/"+name, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// fill writes the board's own files.
func (s *Spec) fill() error {
	for _, dir := range s.Folders {
		if err := os.MkdirAll(relative(dir), 0o755); err != nil {
			return err
		}
	}
	for name, content := range s.Files {
		mode := os.FileMode(0o644)
		if filepath.Base(filepath.Dir(name)) == "init.d" || filepath.Ext(name) == ".sh" {
			mode = 0o755
		}
		if err := put(name, strings.NewReader(content), mode); err != nil {
			return err
		}
	}
	for _, d := range s.Devices {
		name := relative(d.Path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := unix.Mknod(name, d.Type|0o600, int(unix.Mkdev(d.Major, d.Minor))); err != nil {
			return err
		}
	}
	copies := map[string]string{"/usr/bin/otad": s.Otad}
	for name, source := range s.Copies {
		copies[name] = source
	}
	for name, source := range copies {
		f, err := os.Open(source)
		if err != nil {
			return err
		}
		err = put(name, f, 0o755)
		f.Close()
		if err != nil {
			return err
		}
	}
	for name, target := range s.Links {
		if err := os.MkdirAll(filepath.Dir(relative(name)), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, relative(name)); err != nil {
			return err
		}
	}
	return nil
}

func relative(name string) string { return strings.TrimPrefix(name, "/") }

func put(name string, content io.Reader, mode os.FileMode) error {
	name = relative(name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Close()
}
