package storage_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"otad/board/storage"
)

func openPartial(t *testing.T, d *storage.StateDir, name string) *storage.Partial {
	t.Helper()
	p, err := d.OpenPartial(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func writeAt(t *testing.T, p *storage.Partial, b []byte, offset int64) {
	t.Helper()
	if n, err := p.WriteAt(b, offset); n != len(b) || err != nil {
		t.Fatalf("WriteAt = %d, %v", n, err)
	}
}

func TestPartialKeepsWhatWasWritten(t *testing.T) {
	d := open(t, t.TempDir())
	p := openPartial(t, d, "u.zip")
	writeAt(t, p, []byte("world"), 6)
	writeAt(t, p, []byte("hello "), 0)
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := p.Truncate(8); err != nil {
		t.Fatal(err)
	}
	p.Close()

	p = openPartial(t, d, "u.zip")
	if size, err := p.Size(); size != 8 || err != nil {
		t.Errorf("Size() = %d, %v, want 8", size, err)
	}
	got := make([]byte, 10)
	if n, err := p.ReadAt(got, 0); string(got[:n]) != "hello wo" || err != io.EOF {
		t.Errorf("ReadAt = %q, %v, want %q and io.EOF", got[:n], err, "hello wo")
	}
}

func TestOpenPartialSyncsTheDirectoryAlsoWhenTheFileWasThere(t *testing.T) {
	d := open(t, t.TempDir())
	var steps []string
	d.Watch(func(step string) error { steps = append(steps, step); return nil })
	for range 2 {
		openPartial(t, d, "u.zip")
	}
	if want := []string{"fsync directory", "fsync directory"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
}

func TestOpenPartialFailsWhenItsEntryIsNotDurable(t *testing.T) {
	d := open(t, t.TempDir())
	d.Watch(func(string) error { return syscall.EIO })
	if _, err := d.OpenPartial("u.zip"); !errors.Is(err, syscall.EIO) {
		t.Errorf("error is %v, want EIO", err)
	}
}

func TestFailedOpenLeavesNoDescriptor(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	for name, spoil := range map[string]func(*storage.StateDir){
		"directory sync": func(d *storage.StateDir) { d.Watch(func(string) error { return syscall.EIO }) },
		"second open":    func(d *storage.StateDir) { d.OpenDirect(syscall.EMFILE) },
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			spoil(d)
			before := descriptors()
			for range 10 {
				if _, err := d.OpenPartial("u.zip"); err == nil {
					t.Fatal("it was opened")
				}
			}
			if n := descriptors(); n > before {
				t.Errorf("%d descriptors, %d before", n, before)
			}
		})
	}
}

func TestPartialIsPrivate(t *testing.T) {
	dir := t.TempDir()
	openPartial(t, open(t, dir), "u.zip")
	st, err := os.Stat(filepath.Join(dir, "u.zip.part"))
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %v, want 0600", got)
	}
}

func TestNamesThatAreNotPlainAreRefusedEverywhere(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", ".hidden", "a/b", "../u.zip", "/etc/passwd", "a\x00b", strings.Repeat("x", 129),
		"journal.db", "journal.db.corrupt", "JOURNAL.DB", "u.zip.part", "u.zip.PART",
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			_, openErr := d.OpenPartial(name)
			_, publishedErr := d.Published(name)
			removeErr := d.RemovePartial(name)
			for _, err := range []error{openErr, publishedErr, removeErr} {
				if !errors.Is(err, storage.ErrName) {
					t.Errorf("error is %v, want ErrName", err)
				}
			}
		})
	}
}

func TestTheLongestNameWorks(t *testing.T) {
	name := strings.Repeat("x", 128)
	p := openPartial(t, open(t, t.TempDir()), name)
	if err := p.Publish(); err != nil {
		t.Error(err)
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	for _, tt := range []struct {
		name string
		put  func(path string) error
	}{
		{"link", func(path string) error { return os.Symlink("elsewhere", path) }},
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"u.zip", "u.zip.part"} {
				if err := tt.put(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "elsewhere"), []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			d := open(t, dir)
			if p, err := d.OpenPartial("u.zip"); err == nil {
				p.Close()
				t.Error("OpenPartial took it")
			}
			if f, err := d.Published("u.zip"); err == nil {
				f.Close()
				t.Error("Published took it")
			}
		})
	}
}

func TestAFailedSyncIsFinal(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after func(p *storage.Partial) error
	}{
		{"sync", func(p *storage.Partial) error { return p.Sync() }},
		{"write", func(p *storage.Partial) error { _, err := p.WriteAt([]byte("x"), 0); return err }},
		{"cut", func(p *storage.Partial) error { return p.Truncate(0) }},
		{"reserve", func(p *storage.Partial) error { return p.Reserve(1, 0) }},
		{"publish", func(p *storage.Partial) error { return p.Publish() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir)
			p := openPartial(t, d, "u.zip")
			writeAt(t, p, []byte("data"), 0)
			failing := true
			d.Watch(func(step string) error {
				if failing && step == "fdatasync file" {
					return syscall.EIO
				}
				return nil
			})
			first := p.Sync()
			if !errors.Is(first, syscall.EIO) {
				t.Fatalf("Sync = %v, want EIO", first)
			}
			failing = false // the medium "recovered": only memory says otherwise
			if err := tt.after(p); err != first {
				t.Errorf("afterwards = %v, want the first error again", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "u.zip")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the package was published: %v", err)
			}
			// The same file opened again is a new start.
			again := openPartial(t, d, "u.zip")
			writeAt(t, again, []byte("data"), 0)
			if err := again.Sync(); err != nil {
				t.Errorf("Sync after opening again = %v", err)
			}
		})
	}
}

func TestDirectoryInThePackagesPlaceIsFoundBeforeTheFirstByte(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "u.zip"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).OpenPartial("u.zip"); err == nil || !strings.Contains(err.Error(), "a directory has the package's name") {
		t.Errorf("OpenPartial = %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "u.zip.part")); err == nil {
		t.Error("and left a partial file behind")
	}
}

func TestSyncGivesTheMemoryBack(t *testing.T) {
	_, p, path := inAFile(t)
	writeAt(t, p, make([]byte, 1<<20+1), 0)
	if n := residentPages(t, path); n == 0 {
		t.Error("before Sync none of the written pages is in memory: nothing is being tested")
	}
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := residentPages(t, path); n > 0 {
		t.Errorf("%d pages are still in memory", n)
	}
}

// residentPages is how many pages of a file the kernel holds in memory, mincore(2).
func residentPages(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() == 0 {
		return 0
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	pages := make([]byte, (len(m)+os.Getpagesize()-1)/os.Getpagesize())
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}

func TestDropCacheKeepsTheBytes(t *testing.T) {
	p := openPartial(t, open(t, t.TempDir()), "u.zip")
	want := bytes.Repeat([]byte("otad"), 1<<16)
	writeAt(t, p, want, 0)
	if err := errors.Join(p.Sync(), p.DropCache()); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := p.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the bytes changed, %v", err)
	}
}

func TestRemovePartialIsDurableAndForgiving(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	openPartial(t, d, "u.zip")
	var steps []string
	d.Watch(func(step string) error { steps = append(steps, step); return nil })
	for range 2 {
		if err := d.RemovePartial("u.zip"); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"fsync directory", "fsync directory"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "u.zip.part")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestRemoveAllPartialsLeavesTheRest(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.part", "b.zip.part", "b.zip", "journal.db", "part"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d.part"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).RemoveAllPartials(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"b.zip", "d.part", "journal.db", "part"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}
