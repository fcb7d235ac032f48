package storage_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"otad/board/storage"
)

// list returns the names and modes of the files in dir, but not the lock's.
func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		if e.Name() == "journal.lock" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, e.Name()+info.Mode().String())
	}
	return strings.Join(files, " ")
}

// TestOrderOfCalls compares each durable operation call by call, and what the
// directory holds before each call: a sync in front of the change that it is
// for makes nothing durable.
func TestOrderOfCalls(t *testing.T) {
	const partial, published = " [u.zip.otad-part-rw-------]", " [u.zip-rw-r--r--]"
	for _, tt := range []struct {
		name string
		do   func(d *storage.StateDir, p *storage.Partial) error
		want []string
	}{
		{"sync", func(_ *storage.StateDir, p *storage.Partial) error { return p.Sync() },
			[]string{"fdatasync file" + partial, "fadvise file" + partial}},
		{"open a file that is there", func(d *storage.StateDir, _ *storage.Partial) error {
			p, err := d.OpenPartial("u.zip")
			return errors.Join(err, p.Close())
		}, []string{"fsync directory" + partial}},
		{"open a new file", func(d *storage.StateDir, _ *storage.Partial) error {
			p, err := d.OpenPartial("v.zip")
			return errors.Join(err, p.Close())
		}, []string{"fsync directory [u.zip.otad-part-rw------- v.zip.otad-part-rw-------]"}},
		{"remove", func(d *storage.StateDir, _ *storage.Partial) error { return d.RemovePartial("u.zip") },
			[]string{"unlink u.zip.otad-part" + partial, "fsync directory []"}},
		{"remove a missing file", func(d *storage.StateDir, _ *storage.Partial) error { return d.RemovePartial("v.zip") },
			[]string{"unlink v.zip.otad-part" + partial, "fsync directory" + partial}},
		{"remove all", func(d *storage.StateDir, _ *storage.Partial) error { return removeAll(d) },
			[]string{"unlink u.zip.otad-part" + partial, "fsync directory []"}},
		{"remove none", func(d *storage.StateDir, _ *storage.Partial) error {
			_, _, err := d.RemovePartialsExcept("u.zip")
			return err
		}, nil},
		{"adopt a missing file", func(d *storage.StateDir, _ *storage.Partial) error { return d.AdoptPartial("v.zip") },
			[]string{"fsync directory" + partial}},
		{"publish", func(_ *storage.StateDir, p *storage.Partial) error { return p.Publish(0) }, []string{
			"fchmod file" + partial,
			"fsync file [u.zip.otad-part-rw-r--r--]",
			"rename u.zip.otad-part u.zip [u.zip.otad-part-rw-r--r--]",
			"fsync file" + published,
			"fsync directory" + published,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir)
			p := openPartial(t, d, "u.zip")
			var calls []string
			d.Watch(func(call string) error { calls = append(calls, call+" ["+list(t, dir)+"]"); return nil })
			if err := tt.do(d, p); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(calls, tt.want) {
				t.Errorf("calls\n%q\nwant\n%q", calls, tt.want)
			}
		})
	}
}

// Only EINVAL means that the file system cannot sync a directory.
func TestDirectorySyncErrors(t *testing.T) {
	for name, do := range map[string]func(d *storage.StateDir, p *storage.Partial) error{
		"open":       func(d *storage.StateDir, _ *storage.Partial) error { _, err := d.OpenPartial("v.zip"); return err },
		"remove":     func(d *storage.StateDir, _ *storage.Partial) error { return d.RemovePartial("u.zip") },
		"remove all": func(d *storage.StateDir, _ *storage.Partial) error { return removeAll(d) },
		"adopt":      func(d *storage.StateDir, _ *storage.Partial) error { return d.AdoptPartial("u.zip") },
		"publish":    func(_ *storage.StateDir, p *storage.Partial) error { return p.Publish(0) },
	} {
		for _, cause := range []error{syscall.EINVAL, syscall.EIO, syscall.ENOSPC, syscall.EROFS} {
			d := open(t, t.TempDir())
			p := openPartial(t, d, "u.zip")
			d.Watch(func(call string) error {
				if call == "fsync directory" {
					return cause
				}
				return nil
			})
			want := cause
			if cause == syscall.EINVAL {
				want = nil
			}
			if err := do(d, p); !errors.Is(err, want) {
				t.Errorf("%s, %v: error is %v, want %v", name, cause, err, want)
			}
		}
	}
}

func TestFailedSyncIsFinal(t *testing.T) {
	after := map[string]func(p *storage.Partial) error{
		"sync":    func(p *storage.Partial) error { return p.Sync() },
		"write":   func(p *storage.Partial) error { _, err := p.WriteAt([]byte("x"), 0); return err },
		"cut":     func(p *storage.Partial) error { return p.Truncate(0) },
		"reserve": func(p *storage.Partial) error { return p.Reserve(1, 0) },
		"publish": func(p *storage.Partial) error { return p.Publish(0) },
	}
	for _, tt := range []struct {
		call  string
		cause error
		do    func(p *storage.Partial) error
	}{
		{"fdatasync file", syscall.EIO, (*storage.Partial).Sync},
		{"fdatasync file", syscall.EINVAL, (*storage.Partial).Sync}, // not a directory
		{"fsync file", syscall.EIO, func(p *storage.Partial) error { return p.Publish(0) }},
		{"fsync file", syscall.EINVAL, func(p *storage.Partial) error { return p.Publish(0) }},
	} {
		for name, then := range after {
			t.Run(tt.call+" "+tt.cause.Error()+", "+name, func(t *testing.T) {
				dir := t.TempDir()
				d := open(t, dir)
				p := openPartial(t, d, "u.zip")
				writeAt(t, p, []byte("data"), 0)
				failing := true
				d.Watch(func(call string) error {
					if failing && call == tt.call {
						return tt.cause
					}
					return nil
				})
				first := tt.do(p)
				if !errors.Is(first, tt.cause) {
					t.Fatalf("error is %v, want %v", first, tt.cause)
				}
				failing = false // the kernel reports success from now on
				if err := then(p); err != first {
					t.Errorf("afterwards = %v, want the first error again", err)
				}
				if _, err := os.Stat(filepath.Join(dir, "u.zip")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the package was published: %v", err)
				}
				// The same file opened again starts anew.
				again := openPartial(t, d, "u.zip")
				writeAt(t, again, []byte("data"), 0)
				if err := again.Sync(); err != nil {
					t.Errorf("Sync after opening again = %v", err)
				}
			})
		}
	}
}

// The second of two syncs that fail at the same time returns the first error.
func TestFirstErrorOfConcurrentSyncsIsKept(t *testing.T) {
	d := open(t, t.TempDir())
	p := openPartial(t, d, "u.zip")
	begun, release, second := make(chan struct{}), make(chan struct{}), make(chan error)
	causes := make(chan error, 2)
	causes <- syscall.ENOSPC
	causes <- syscall.EIO
	d.Watch(func(string) error {
		cause := <-causes
		if cause == syscall.ENOSPC {
			close(begun)
			<-release
		}
		return cause
	})
	go func() { second <- p.Sync() }()
	<-begun
	first := p.Sync()
	close(release)
	if err := <-second; !errors.Is(first, syscall.EIO) || err != first {
		t.Errorf("errors are %v and %v, want EIO twice", first, err)
	}
}

func TestInterruptedCallsAreRepeated(t *testing.T) {
	d := open(t, t.TempDir())
	interrupted := map[string]bool{}
	d.Watch(func(call string) error {
		if !interrupted[call] {
			interrupted[call] = true
			return syscall.EINTR
		}
		return nil
	})
	p := openPartial(t, d, "u.zip")
	writeAt(t, p, []byte("data"), 0)
	if err := errors.Join(p.Reserve(mib, 0), p.Sync(), p.Publish(0), d.RemovePartial("u.zip")); err != nil {
		t.Error(err)
	}
	if len(interrupted) != 9 {
		t.Errorf("interrupted %v, want all 9 calls", interrupted)
	}
}
