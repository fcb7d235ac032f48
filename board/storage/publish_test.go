package storage_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestPublishOrdersItsSteps(t *testing.T) {
	d := open(t, t.TempDir())
	p := openPartial(t, d, "u.zip")
	writeAt(t, p, []byte("data"), 0)
	var steps []string
	d.Watch(func(step string) error { steps = append(steps, step); return nil })
	if err := p.Publish(); err != nil {
		t.Fatal(err)
	}
	want := []string{"fsync file", "rename u.zip.part u.zip", "fsync file", "fsync directory"}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
}

func TestPublishStopsAtTheStepThatFails(t *testing.T) {
	for failAt, want := range []string{"u.zip.part", "u.zip.part", "u.zip", "u.zip"} {
		dir := t.TempDir()
		d := open(t, dir)
		p := openPartial(t, d, "u.zip")
		writeAt(t, p, []byte("data"), 0)
		step := 0
		d.Watch(func(string) error {
			if step++; step == failAt+1 {
				return syscall.EIO
			}
			return nil
		})
		if err := p.Publish(); !errors.Is(err, syscall.EIO) {
			t.Errorf("step %d: error is %v, want EIO", failAt, err)
		}
		if step != failAt+1 {
			t.Errorf("step %d: went on to step %d", failAt, step-1)
		}
		if got, err := os.ReadFile(filepath.Join(dir, want)); string(got) != "data" {
			t.Errorf("step %d: %s holds %q, %v", failAt, want, got, err)
		}
	}
}

func TestPublishTakesThePlaceOfAnOlderPackage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "u.zip"), []byte("older and longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	p := openPartial(t, d, "u.zip")
	writeAt(t, p, []byte("newer"), 0)
	if err := p.Publish(); err != nil {
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
	if _, err := os.Stat(filepath.Join(dir, "u.zip.part")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the partial file is still there: %v", err)
	}
}

func TestPublishedSaysWhenThereIsNone(t *testing.T) {
	if _, err := open(t, t.TempDir()).Published("u.zip"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
}
