package storage_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"otad/board/storage"
)

func identity(t *testing.T, path string) string {
	t.Helper()
	id, err := storage.Identity(path)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentityIsThatOfTheDirectoryAndNotOfItsPath(t *testing.T) {
	top := t.TempDir()
	one, two, link := filepath.Join(top, "one"), filepath.Join(top, "two"), filepath.Join(top, "link")
	for _, dir := range []string{one, two} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	d, err := storage.OpenStateDir(link)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if id := d.Identity(); id == "" || id != identity(t, one) || id != identity(t, link) || id == identity(t, two) {
		t.Errorf("%q, one is %q, the link %q, two %q", id, identity(t, one), identity(t, link), identity(t, two))
	}
	if _, err := storage.Identity(filepath.Join(top, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	// Another directory at the path is another one.
	if err := os.Rename(one, one+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(one, 0o700); err != nil {
		t.Fatal(err)
	}
	if d.Identity() == identity(t, one) {
		t.Error("a directory that was replaced has the same identity")
	}
}

func TestInUseIsWhileADirectoryIsOpen(t *testing.T) {
	dir := t.TempDir()
	check := func(when string, want bool) {
		t.Helper()
		if got, err := storage.InUse(dir); got != want || err != nil {
			t.Errorf("%s: in use %v, %v, want %v", when, got, err, want)
		}
	}
	check("never opened", false)
	d, err := storage.OpenStateDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	check("open", true)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed", false)
	// Without space for the file, the directory itself is locked.
	if err := os.Remove(filepath.Join(dir, storage.LockName)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	check("the directory is locked", true)
	if _, err := storage.InUse(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}

// Two that look at once, and an otad that starts meanwhile, are not in each
// other's way.
func TestInUseDisturbsNobody(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				storage.InUse(dir)
			}
		}
	}()
	for range 20 {
		d, err := storage.OpenStateDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	close(stop)
	<-ended
}
