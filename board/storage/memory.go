package storage

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of one on the processors that boards have, where pages
// are of 4 KiB.
const hugePage = 2 << 20

// MapBuffer returns size bytes that are not the Go heap's, and what gives them
// back; nothing may point into them then. They lie in huge pages where the
// kernel has some, so that a disk and a processor take them in few pieces, and
// they do not count when the collector decides how much garbage to let be.
//
// A kernel that gives none leaves it to the heap.
func MapBuffer(size int) (memory []byte, free func()) {
	mapped, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, size), func() {}
	}
	begin := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mapped))) % hugePage)
	memory = mapped[begin : begin+size : begin+size]
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE) // no more than advice
	return memory, func() { _ = unix.Munmap(mapped) }
}
