package storage_test

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"otad/board/storage"
)

const mib = 1 << 20

// smallDisk mounts an empty file system of 4 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	return mount(t, "-t", "tmpfs", "-o", "size=4m,mode=755", "otad-test")
}

// smallExt4 mounts a file system of 16 MiB that reserves blocks for root.
func smallExt4(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	image := filepath.Join(t.TempDir(), "ext4.img")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(16 * mib); err != nil {
		t.Fatal(err)
	}
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("needs mkfs.ext4")
	}
	if out, err := exec.Command(mkfs, "-q", "-m", "20", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	return mount(t, "-o", "loop", image)
}

// used returns the bytes that the file occupies on its medium.
func used(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func free(t *testing.T, d *storage.StateDir) int64 {
	t.Helper()
	n, err := d.Free()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestReserveAllocatesWithoutGrowing(t *testing.T) {
	for name, disk := range map[string]func(*testing.T) string{"tmpfs": smallDisk, "ext4": smallExt4} {
		t.Run(name, func(t *testing.T) {
			dir := disk(t)
			d := open(t, dir)
			p := openPartial(t, d, "u.zip")
			before := free(t, d)
			if err := p.Reserve(2*mib, mib); err != nil {
				t.Fatal(err)
			}
			if taken := before - free(t, d); taken < 2*mib || taken > 2*mib+64<<10 {
				t.Errorf("%d bytes were taken, want 2 MiB", taken)
			}
			if size, err := p.Size(); size != 0 || err != nil {
				t.Errorf("Size() = %d, %v, want 0", size, err)
			}
			// Another writer cannot take the reserved blocks.
			other := openPartial(t, d, "other")
			fill(t, other)
			writeAt(t, p, make([]byte, 2*mib), 0)
			if err := p.Sync(); err != nil {
				t.Errorf("Sync on a full disk = %v", err)
			}
		})
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, p *storage.Partial) {
	t.Helper()
	block := make([]byte, 64<<10)
	for offset := int64(0); offset < 64*mib; offset += int64(len(block)) {
		if _, err := p.WriteAt(block, offset); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("error is %v, want ENOSPC", err)
			}
			return
		}
	}
	t.Fatal("the disk did not become full")
}

func TestReserveRefusesAPackageThatDoesNotFit(t *testing.T) {
	dir := smallDisk(t)
	d := open(t, dir)
	p := openPartial(t, d, "u.zip")
	all := free(t, d)
	for _, tt := range []struct {
		name          string
		size, minFree int64
		want          *storage.SpaceError
	}{
		{"larger than the disk", 5 * mib, 0, &storage.SpaceError{Need: 5 * mib, Free: all}},
		{"leaves less than minFree", 3 * mib, 2 * mib, &storage.SpaceError{Need: 3 * mib, Free: all - 2*mib}},
		{"minFree is larger than the disk", mib, 16 * mib, &storage.SpaceError{Need: mib, Free: 0}},
		{"fits to the byte", 3 * mib, all - 3*mib, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := p.Reserve(tt.size, tt.minFree)
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var got *storage.SpaceError
			if !errors.As(err, &got) || *got != *tt.want {
				t.Fatalf("error is %v, want %v", err, tt.want)
			}
			if need, free := got.Space(); need != tt.want.Need || free != tt.want.Free {
				t.Errorf("Space() = %d, %d", need, free)
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Error("the error does not match ENOSPC")
			}
			if now := free(t, d); now != all {
				t.Errorf("%d bytes free afterwards, want %d", now, all)
			}
		})
	}
}

func TestReserveCountsAllocatedBlocks(t *testing.T) {
	d := open(t, smallDisk(t))
	p := openPartial(t, d, "u.zip")
	writeAt(t, p, make([]byte, 2*mib), 0)
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	// Two of 3 MiB are written: only the third is needed.
	if err := p.Reserve(3*mib, mib); err != nil {
		t.Error(err)
	}
	// After the reservation no more space is needed.
	if err := p.Reserve(3*mib, free(t, d)); err != nil {
		t.Error(err)
	}
}

func TestFailedReserveFreesItsBlocks(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		dir := t.TempDir()
		d := open(t, dir)
		p := openPartial(t, d, "u.zip")
		writeAt(t, p, []byte("durable"), 0)
		if err := p.Sync(); err != nil {
			t.Fatal(err)
		}
		before := used(t, filepath.Join(dir, "u.zip.otad-part"))
		d.AllocateThenFail(mib, cause)
		err := p.Reserve(2*mib, 0)
		var space *storage.SpaceError
		if !errors.As(err, &space) {
			t.Errorf("%v: error is %v, want a SpaceError", cause, err)
		}
		if now := used(t, filepath.Join(dir, "u.zip.otad-part")); now != before {
			t.Errorf("%v: the file occupies %d bytes, want %d as before", cause, now, before)
		}
		got := make([]byte, 7)
		if _, err := p.ReadAt(got, 0); string(got) != "durable" {
			t.Errorf("%v: the file holds %q, %v", cause, got, err)
		}
	}
}

func TestReserveWithoutSupportIsNoError(t *testing.T) {
	for _, cause := range []error{syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EPERM, syscall.ENODEV, syscall.EINVAL, syscall.ENOTSUP} {
		d := open(t, t.TempDir())
		d.AllocateThenFail(0, cause)
		if err := openPartial(t, d, "u.zip").Reserve(mib, 0); err != nil {
			t.Errorf("%v: %v", cause, err)
		}
	}
}

func TestReserveReturnsWhatADiskCannotTake(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EFBIG, syscall.EIO} {
		d := open(t, t.TempDir())
		d.AllocateThenFail(0, errno)
		err := openPartial(t, d, "u.zip").Reserve(mib, 0)
		var space *storage.SpaceError
		if !errors.Is(err, errno) || errors.As(err, &space) {
			t.Errorf("error is %v, want %v and no SpaceError", err, errno)
		}
	}
}

func TestFullDiskMatchesENOSPCInWriteAt(t *testing.T) {
	d := open(t, smallDisk(t))
	fill(t, openPartial(t, d, "u.zip"))
}

func TestFreeDoesNotCountBlocksReservedForRoot(t *testing.T) {
	d := open(t, smallExt4(t))
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.Path(), &st); err != nil {
		t.Fatal(err)
	}
	if st.Bfree == st.Bavail {
		t.Fatal("this file system reserves nothing for root")
	}
	if got, want := free(t, d), int64(st.Bavail)*int64(st.Bsize); got != want {
		t.Errorf("Free() = %d, want %d", got, want)
	}
}

func TestFreeCountsIn64Bits(t *testing.T) {
	for _, tt := range []struct {
		name                string
		blocks              uint64
		blockSize, fragment int
		want                int64
	}{
		{"3 TiB in 4 KiB blocks", 3 << 28, 4096, 4096, 3 << 40},
		{"fragments smaller than blocks", 1 << 20, 1 << 20, 512, 512 << 20},
		{"no fragment size", 1 << 20, 4096, 0, 4096 << 20},
		{"no limit", math.MaxUint64, 4096, 4096, math.MaxInt64},
		{"nothing", 0, 4096, 4096, 0},
		{"no block size", 1, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, t.TempDir())
			d.SetFree(tt.blocks, tt.blockSize, tt.fragment)
			if got := free(t, d); got != tt.want {
				t.Errorf("Free() = %d, want %d", got, tt.want)
			}
		})
	}
}
