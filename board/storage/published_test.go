package storage_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"otad/board/storage"
)

func TestPublishedPackageIsRemovedOnlyIfItIsTheOne(t *testing.T) {
	refused := errors.New("not today")
	isIt := func(yes bool) func(fs.FileInfo) bool {
		return func(info fs.FileInfo) bool { return yes && info.Size() == 3 }
	}
	for name, tt := range map[string]struct {
		there   bool
		isIt    bool
		fault   error // of the removal
		removed bool
	}{
		"the one":           {true, true, nil, true},
		"another":           {true, false, nil, false},
		"none":              {false, true, nil, false},
		"cannot be removed": {true, true, refused, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			d, err := storage.OpenStateDir(path)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			file := filepath.Join(path, "u.zip")
			if tt.there {
				if err := os.WriteFile(file, []byte("abc"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var calls []string
			d.Watch(func(call string) error {
				calls = append(calls, call)
				return tt.fault
			})
			removed, err := d.RemovePublished("u.zip", isIt(tt.isIt))
			if removed != tt.removed || !errors.Is(err, tt.fault) {
				t.Errorf("removed %v, %v", removed, err)
			}
			if _, err := os.Stat(file); (err == nil) != (tt.there && !tt.removed) {
				t.Errorf("the file: %v", err)
			}
			if durable := len(calls) == 2 && calls[0] == "unlink u.zip" && calls[1] == "fsync directory"; durable != tt.removed {
				t.Errorf("calls %q", calls)
			}
		})
	}
	d, err := storage.OpenStateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.RemovePublished("../u.zip", isIt(true)); !errors.Is(err, storage.ErrName) {
		t.Errorf("a name that leads elsewhere: %v", err)
	}
}
