package storage_test

import (
	"bytes"
	"errors"
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
	return d, openPartial(t, d, "u.zip"), filepath.Join(dir, "u.zip.part")
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
