package storage_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"otad/board/storage"
)

// newFile returns a partial file and its path. It skips the test on a file
// system in memory, where the page cache is the file.
func newFile(t *testing.T) (*storage.StateDir, *storage.Partial, string) {
	t.Helper()
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skipf("needs a file system on a disk (%v)", err)
	}
	d := open(t, dir)
	return d, openPartial(t, d, "u.zip"), filepath.Join(dir, "u.zip.otad-part")
}

// memory returns n random bytes that begin at a page boundary.
func memory(t *testing.T, n int) []byte {
	t.Helper()
	b, free := storage.MapBuffer(n)
	t.Cleanup(free)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestAlignedWritesBypassThePageCache(t *testing.T) {
	const page = 4096
	b := memory(t, 4*page)
	for _, tt := range []struct {
		name   string
		data   []byte
		offset int64
		cached bool
	}{
		{"aligned", b, 0, false},
		{"aligned at an offset", b, 8 * page, false},
		{"unaligned offset", b, 512, true},
		{"unaligned length", b[:page+512], 0, true},
		{"unaligned memory", b[512 : 512+page], 0, true},
		{"nothing", nil, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, p, path := newFile(t)
			writeAt(t, p, tt.data, tt.offset)
			if got := residentPages(t, path) > 0; got != tt.cached {
				t.Errorf("in the page cache: %v, want %v", got, tt.cached)
			}
			got := make([]byte, len(tt.data))
			if _, err := p.ReadAt(got, tt.offset); err != nil && len(got) > 0 || !bytes.Equal(got, tt.data) {
				t.Errorf("other bytes are read back (%v)", err)
			}
		})
	}
}

func TestDirectAndNormalWritesMakeOneFile(t *testing.T) {
	_, p, path := newFile(t)
	const size = 1 << 20
	b, want := memory(t, size), make([]byte, size)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		unit := []int{1, 512, 4096}[random.IntN(3)]
		from := random.IntN(size/unit) * unit
		n := min(size-from, (1+random.IntN(64<<10/unit))*unit)
		data := b[:n]
		data[0]++ // no two writes are equal
		writeAt(t, p, data, int64(from))
		copy(want[from:], data)
		if random.IntN(20) == 0 {
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	end, err := p.Size()
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"in the page cache", "on the medium"} {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want[:end]) {
			t.Errorf("the file %s does not hold the written bytes (%v)", source, err)
		}
		if err := errors.Join(p.Sync(), p.DropCache()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefusedDirectWriteUsesThePageCache(t *testing.T) {
	b := memory(t, 64<<10)
	for _, refusal := range []error{syscall.EINVAL, syscall.EOPNOTSUPP} {
		t.Run(refusal.Error(), func(t *testing.T) {
			d, p, path := newFile(t)
			tries := 0
			d.SetWriteDirect(func(f *os.File, b []byte, offset int64) (int, error) {
				tries++
				n, _ := f.WriteAt(b[:len(b)/2], offset) // as on a disk that becomes full
				return n, refusal
			})
			writeAt(t, p, b, 0)
			writeAt(t, p, b, int64(len(b)))
			if tries != 1 {
				t.Errorf("%d direct writes were tried, want 1", tries)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, append(bytes.Clone(b), b...)) {
				t.Errorf("the file does not hold the written bytes (%v)", err)
			}
		})
	}
}

func TestFailedDirectWriteIsReported(t *testing.T) {
	b := memory(t, 64<<10)
	for _, failure := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
		t.Run(failure.Error(), func(t *testing.T) {
			d, p, path := newFile(t)
			d.SetWriteDirect(func(*os.File, []byte, int64) (int, error) { return 0, failure })
			if _, err := p.WriteAt(b, 0); !errors.Is(err, failure) {
				t.Errorf("WriteAt = %v", err)
			}
			if st, err := os.Stat(path); err != nil || st.Size() > 0 {
				t.Error("the bytes were written through the page cache instead")
			}
		})
	}
}

func TestFileSystemWithoutDirectWrites(t *testing.T) {
	b := memory(t, 64<<10)
	for _, refusal := range []error{syscall.EINVAL, syscall.EOPNOTSUPP} {
		t.Run(refusal.Error(), func(t *testing.T) {
			d, _, path := newFile(t)
			d.FailOpenDirect(refusal)
			p := openPartial(t, d, "u.zip")
			writeAt(t, p, b, 0)
			if residentPages(t, path) == 0 {
				t.Error("not written through the page cache")
			}
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, b) {
				t.Errorf("the file does not hold the written bytes (%v)", err)
			}
		})
	}
}

// A kernel without fadvise(2) cannot drop the page cache: after DropCache the
// reads go past it.
func TestReadbackWithoutFadvise(t *testing.T) {
	d, p, path := newFile(t)
	d.Watch(func(call string) error {
		if call == "fadvise file" {
			return syscall.ENOSYS
		}
		return nil
	})
	const size = 1<<20 + 777
	want := memory(t, size)
	writeAt(t, p, want[:size-777], 0)
	writeAt(t, p, want[size-777:], size-777)
	if err := errors.Join(d.CheckReadback(), p.Sync(), p.DropCache()); err != nil {
		t.Fatal(err)
	}
	dropCache(t, path)
	for _, at := range [][2]int{{0, 1 << 20}, {0, size}, {1, 4096}, {4095, 2}, {8192, 256 << 10}, {size - 777, 777}, {size - 1, 1}, {12345, 54321}} {
		got := make([]byte, at[1])
		if n, err := p.ReadAt(got, int64(at[0])); n != at[1] || err != nil || !bytes.Equal(got, want[at[0]:at[0]+at[1]]) {
			t.Errorf("%d bytes at %d: %d, %v, or other bytes", at[1], at[0], n, err)
		}
	}
	if n := residentPages(t, path); n > 0 {
		t.Errorf("the reads left %d pages in the page cache, so they can come from there", n)
	}
	for _, offset := range []int64{size, size - 10, size + 5000} {
		got := make([]byte, 4096)
		n, err := p.ReadAt(got, offset)
		if want := max(0, size-int(offset)); n != want || !errors.Is(err, io.EOF) {
			t.Errorf("at %d of %d: %d bytes, %v, want %d and EOF", offset, size, n, err, want)
		}
	}
}

func dropCache(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

func TestReadbackThatCannotBeKeptIsFoundAtTheStart(t *testing.T) {
	d := open(t, t.TempDir())
	if err := d.CheckReadback(); err != nil {
		t.Errorf("with fadvise: %v", err)
	}
	d.Watch(func(call string) error {
		if call == "fadvise file" {
			return syscall.ENOSYS
		}
		return nil
	})
	d.FailOpenDirect(syscall.EINVAL)
	if err := d.CheckReadback(); !errors.Is(err, syscall.ENOSYS) || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("without fadvise and direct reads: %v", err)
	}
	p := openPartial(t, d, "u.zip")
	writeAt(t, p, []byte("data"), 0)
	got := make([]byte, 4)
	if err := p.DropCache(); err != nil {
		t.Errorf("DropCache = %v: a job must not fail for it", err)
	}
	if _, err := p.ReadAt(got, 0); string(got) != "data" {
		t.Errorf("read %q, %v", got, err)
	}
}

// The name is opened twice, for direct and for other writes: both must be one file.
func TestDirectWritesGoToTheSameFile(t *testing.T) {
	d, _, _ := newFile(t)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.OpenDirectly(other)
	if p, err := d.OpenPartial("u.zip"); err == nil {
		p.Close()
		t.Error("OpenPartial takes two files for one")
	}
}
