package storage_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
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

func TestPartialKeepsWrittenBytes(t *testing.T) {
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
	d.Close() // a file that is open stays usable
	if size, err := p.Size(); size != 8 || err != nil {
		t.Errorf("Size() = %d, %v, want 8", size, err)
	}
	got := make([]byte, 10)
	if n, err := p.ReadAt(got, 0); string(got[:n]) != "hello wo" || err != io.EOF {
		t.Errorf("ReadAt = %q, %v, want %q and io.EOF", got[:n], err, "hello wo")
	}
	writeAt(t, p, []byte("rld"), 8)
	if err := p.Sync(); err != nil {
		t.Error(err)
	}
}

func TestNoDescriptorIsLeaked(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	openFails := func(t *testing.T, d *storage.StateDir) {
		if _, err := d.OpenPartial("u.zip"); err == nil {
			t.Fatal("the file was opened")
		}
	}
	for name, do := range map[string]func(*testing.T, *storage.StateDir){
		"failed directory sync": func(t *testing.T, d *storage.StateDir) {
			d.Watch(func(string) error { return syscall.EIO })
			openFails(t, d)
		},
		"failed second open": func(t *testing.T, d *storage.StateDir) {
			d.FailOpenDirect(syscall.EMFILE)
			openFails(t, d)
		},
		"not a regular file": func(t *testing.T, d *storage.StateDir) {
			_ = os.Mkdir(filepath.Join(d.Path(), "v.zip"), 0o700)
			if _, err := d.Published("v.zip"); err == nil {
				t.Fatal("a directory was opened")
			}
		},
		"closed file": func(t *testing.T, d *storage.StateDir) {
			p, err := d.OpenPartial("u.zip")
			if err := errors.Join(err, p.Close()); err != nil {
				t.Fatal(err)
			}
		},
		"held lock": func(t *testing.T, d *storage.StateDir) {
			synctest.Test(t, func(t *testing.T) { // the time passes at once
				if _, err := storage.OpenStateDir(d.Path()); !errors.Is(err, storage.ErrLocked) {
					t.Fatalf("error is %v, want ErrLocked", err)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			before := descriptors()
			for range 10 {
				do(t, d)
			}
			if n := descriptors(); n > before {
				t.Errorf("%d descriptors, %d before", n, before)
			}
		})
	}
}

func TestOnlyRegularFilesArePublished(t *testing.T) {
	directory := foreignFile{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }}
	for _, tt := range append(foreign[:3:3], directory) {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.put(filepath.Join(dir, "u.zip")); err != nil {
				t.Fatal(err)
			}
			if f, err := open(t, dir).Published("u.zip"); err == nil {
				f.Close()
				t.Error("Published opened it")
			}
		})
	}
}

func TestOpenPartialFindsADirectoryOfThatName(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "u.zip"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).OpenPartial("u.zip"); err == nil || !strings.Contains(err.Error(), "a directory has the package's name") {
		t.Errorf("OpenPartial = %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "u.zip.otad-part")); err == nil {
		t.Error("a partial file was left behind")
	}
}

func TestSyncDropsThePageCache(t *testing.T) {
	_, p, path := newFile(t)
	writeAt(t, p, make([]byte, 1<<20+1), 0)
	if n := residentPages(t, path); n == 0 {
		t.Error("no page is in memory before Sync: the test proves nothing")
	}
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := residentPages(t, path); n > 0 {
		t.Errorf("%d pages are still in memory", n)
	}
}

// residentPages returns how many pages of a file are in memory, mincore(2).
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
