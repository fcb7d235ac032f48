package packages_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// install runs make install in the clone and returns what it has installed.
func install(t *testing.T, dest string, args ...string) []string {
	t.Helper()
	packageDir(t, "") // makes the clone
	making.Lock()
	defer making.Unlock()
	cmd := exec.Command("make", append([]string{"install", "DESTDIR=" + dest, "BINARY=bin/otad-" + strings.Fields(*boards)[0]}, args...)...)
	cmd.Dir = filepath.Join(work, "one")
	must(t, cmd)
	return files(t, dest)
}

// files returns the names and modes of the files below a folder, in order.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		list = append(list, strings.TrimPrefix(path, dir)+" "+info.Mode().String())
		return err
	}))
	return list
}

// The package for Debian has the same files at the same paths; it lacks the samples,
// and its man page is compressed.
func TestInstallPutsFilesWhereThePackageDoes(t *testing.T) {
	installed := install(t, t.TempDir(), "PREFIX=/usr")
	unpacked := t.TempDir()
	must(t, exec.Command("dpkg-deb", "-x", deb(t, ""), unpacked))
	packed := files(t, unpacked)
	for i, name := range packed {
		packed[i] = strings.Replace(name, "otad.8.gz", "otad.8", 1)
	}
	installed = slices.DeleteFunc(installed, func(name string) bool { return strings.HasPrefix(name, "/usr/share/doc/otad/examples/") })
	if !slices.Equal(installed, packed) {
		t.Errorf("make install:\n%s\nthe package:\n%s", strings.Join(installed, "\n"), strings.Join(packed, "\n"))
	}
}

func TestInstallKeepsTheConfigurationAndWritesItsPrefix(t *testing.T) {
	dest := t.TempDir()
	conf := filepath.Join(dest, "etc", "otad.conf")
	check(t, os.MkdirAll(filepath.Dir(conf), 0o755))
	check(t, os.WriteFile(conf, []byte("# by hand\n"), 0o644))
	install(t, dest, "PREFIX=/opt/otad")
	if text, _ := os.ReadFile(conf); string(text) != "# by hand\n" {
		t.Errorf("the configuration has become:\n%s", text)
	}
	unit, err := os.ReadFile(filepath.Join(dest, "opt/otad/lib/systemd/system/otad.service"))
	check(t, err)
	if !strings.Contains(string(unit), "\nExecStart=/opt/otad/bin/otad serve -config /etc/otad.conf\n") {
		t.Errorf("the unit starts another otad:\n%s", unit)
	}
}
