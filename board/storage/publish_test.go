package storage_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestPublishStopsAtTheCallThatFails(t *testing.T) {
	for failAt, want := range []string{"u.zip.otad-part", "u.zip.otad-part", "u.zip.otad-part", "u.zip", "u.zip"} {
		dir := t.TempDir()
		d := open(t, dir)
		p := openPartial(t, d, "u.zip")
		writeAt(t, p, []byte("data"), 0)
		calls := 0
		d.Watch(func(string) error {
			if calls++; calls == failAt+1 {
				return syscall.EIO
			}
			return nil
		})
		if err := p.Publish(0); !errors.Is(err, syscall.EIO) {
			t.Errorf("call %d: error is %v, want EIO", failAt, err)
		}
		if calls != failAt+1 {
			t.Errorf("call %d: Publish went on to call %d", failAt, calls-1)
		}
		if got, err := os.ReadFile(filepath.Join(dir, want)); string(got) != "data" {
			t.Errorf("call %d: %s holds %q, %v", failAt, want, got, err)
		}
	}
}

func TestPublishReplacesAnOlderPackage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "u.zip"), []byte("older and longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	p := openPartial(t, d, "u.zip")
	writeAt(t, p, []byte("newer"), 0)
	if err := p.Publish(0); err != nil {
		t.Fatal(err)
	}
	f, err := d.Published("u.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); string(got) != "newer" || err != nil {
		t.Errorf("published %q, %v", got, err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Mode().Perm(); got != 0o644 {
		t.Errorf("mode %v, want 0644 for installers under another user", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "u.zip.otad-part")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the partial file is still there: %v", err)
	}
}

// FAT has no modes and refuses to change them.
func TestPublishGoesOnWithoutModes(t *testing.T) {
	for _, refusal := range []error{syscall.EPERM, syscall.EOPNOTSUPP} {
		d := open(t, t.TempDir())
		p := openPartial(t, d, "u.zip")
		d.Watch(func(call string) error {
			if call == "fchmod file" {
				return refusal
			}
			return nil
		})
		if err := p.Publish(0); err != nil {
			t.Errorf("%v: Publish = %v", refusal, err)
		}
	}
}

func TestPublishedReportsWhenThereIsNone(t *testing.T) {
	if _, err := open(t, t.TempDir()).Published("u.zip"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
}
