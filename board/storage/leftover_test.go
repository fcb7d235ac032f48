package storage_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"otad/board/storage"
)

// removeAll removes every partial file.
func removeAll(d *storage.StateDir) error {
	_, _, err := d.RemovePartialsExcept()
	return err
}

func write(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRemovePartialsExcept(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.otad-part", "b.zip.otad-part", "b.zip", "c.part", "c.otad-part.txt", "journal.db", "kept.otad-part", "KEPT2.OTAD-PART", "otad-part", "f.otad-slot", "kept.otad-slot")
	if err := os.Mkdir(filepath.Join(dir, "d.otad-part"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("journal.db", filepath.Join(dir, "e.otad-part")); err != nil {
		t.Fatal(err)
	}
	removed, size, err := open(t, dir).RemovePartialsExcept("kept", "kept2", "absent")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b.zip", "e", "f"}; !slices.Equal(removed, want) || size != 3*4096 {
		t.Errorf("removed %q with %d bytes, want %q with three blocks", removed, size, want)
	}
	const want = "KEPT2.OTAD-PART b.zip c.otad-part.txt c.part d.otad-part journal.db journal.lock kept.otad-part kept.otad-slot otad-part"
	if left := names(t, dir); left != want {
		t.Errorf("left %q, want %q", left, want)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestRemovePartialsExceptGoesOnAfterAnError(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	for _, name := range []string{"a", "b", "c"} {
		openPartial(t, d, name)
	}
	var last string
	d.Watch(func(call string) error {
		if last = call; call == "unlink b.otad-part" {
			return syscall.EPERM
		}
		return nil
	})
	removed, _, err := d.RemovePartialsExcept()
	if !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "b.otad-part") {
		t.Errorf("error is %v, want EPERM for b.otad-part", err)
	}
	if left := list(t, dir); left != "b.otad-part-rw-------" || !slices.Equal(removed, []string{"a", "c"}) {
		t.Errorf("left %q, removed %q", left, removed)
	}
	if last != "fsync directory" {
		t.Errorf("the last call is %q, want the sync of the removals", last)
	}
}

func TestAdoptPartial(t *testing.T) {
	for _, tt := range []struct {
		name     string
		put      func(t *testing.T, dir string)
		want     string // of the directory
		contents string // of the partial file
	}{
		{"none", func(*testing.T, string) {}, "journal.lock", ""},
		{"one", func(t *testing.T, dir string) { write(t, dir, "u.zip.part", "v.zip.part") },
			"journal.lock u.zip.otad-part v.zip.part", "u.zip.part"},
		{"after a roll-back, which left an older one", func(t *testing.T, dir string) { write(t, dir, "u.zip.part", "u.zip.otad-part") },
			"journal.lock u.zip.otad-part", "u.zip.part"},
		{"adopted before", func(t *testing.T, dir string) { write(t, dir, "u.zip.otad-part") },
			"journal.lock u.zip.otad-part", "u.zip.otad-part"},
		{"a directory", func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "u.zip.part"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "journal.lock u.zip.part", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.put(t, dir)
			if err := open(t, dir).AdoptPartial("u.zip"); err != nil {
				t.Fatal(err)
			}
			if left := names(t, dir); left != tt.want {
				t.Errorf("the directory holds %q, want %q", left, tt.want)
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "u.zip.otad-part")); string(got) != tt.contents {
				t.Errorf("the partial file holds %q, want %q", got, tt.contents)
			}
		})
	}
}
