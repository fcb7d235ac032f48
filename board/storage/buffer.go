package storage

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size in bytes of a huge page on processors with pages of
// 4 KiB.
const hugePage = 2 << 20

// MapBuffer allocates size bytes outside the Go heap and returns them with the
// function that frees them. After free nothing may use the memory any more.
// Free must be called once. MapBuffer and free may be called from any
// goroutine.
//
// The memory starts at a huge page boundary and lies in huge pages where the
// kernel has some, so direct writes and hashing work on few large pieces.
// Because it is not heap, the garbage collector does not count it when it
// computes how much garbage to allow. If the kernel refuses the mapping, the
// memory comes from the heap.
func MapBuffer(size int) (memory []byte, free func()) {
	mapped, err := unix.Mmap(-1, 0, size+hugePage,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, size), func() {}
	}
	begin := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mapped))) % hugePage)
	memory = mapped[begin : begin+size : begin+size]
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE) // only a hint
	return memory, func() { _ = unix.Munmap(mapped) }
}
