package storage_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"otad/board/storage"
)

// What is written to a directory that the path does not lead to is lost: the
// package must not become Ready there.
func TestAReplacedDirectoryIsFound(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace func(t *testing.T, dir string)
		want    bool
	}{
		{"nothing happened", func(*testing.T, string) {}, false},
		{"renamed", func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".old")) }, true},
		{"renamed and back", func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Rename(dir+".old", dir))
		}, false},
		{"another directory in its place", func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Mkdir(dir, 0o755))
		}, true},
		{"a file in its place", func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.WriteFile(dir, nil, 0o600))
		}, true},
		{"reached by a link", func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Symlink(dir+".old", dir))
		}, false},
		{"removed", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, true},
		{"mounted over", func(t *testing.T, dir string) { mountOver(t, dir, "otad-test", "tmpfs", 0) }, true},
		{"a bind mount of itself", func(t *testing.T, dir string) { mountOver(t, dir, dir, "", syscall.MS_BIND) }, false},
		{"another one bound over it", func(t *testing.T, dir string) { mountOver(t, dir, t.TempDir(), "", syscall.MS_BIND) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			must(t, os.Mkdir(dir, 0o755))
			d := open(t, dir)
			p := openPartial(t, d, "u.zip")
			writeAt(t, p, []byte("data"), 0)
			tt.replace(t, dir)
			for name, err := range map[string]error{"Writable": d.Writable(), "Publish": p.Publish(0)} {
				var replaced *storage.ReplacedError
				if got := errors.As(err, &replaced); got != tt.want || got != (err != nil) {
					t.Errorf("%s = %v, want a ReplacedError: %v", name, err, tt.want)
				}
			}
			f, err := d.Published("u.zip")
			if err == nil {
				f.Close()
			}
			if published := !errors.Is(err, fs.ErrNotExist); published == tt.want {
				t.Errorf("published: %v, %v", published, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mountOver mounts on dir for the time of the test.
func mountOver(t *testing.T, dir, source, kind string, flags uintptr) {
	t.Helper()
	needRoot(t)
	must(t, syscall.Mount(source, dir, kind, flags, ""))
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
