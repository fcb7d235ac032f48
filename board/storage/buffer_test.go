package storage_test

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"otad/board/storage"
)

func TestMapBufferIsAlignedAndFreed(t *testing.T) {
	const size, cycles = 3 << 20, 1000
	before := mappedBytes(t)
	for range cycles {
		b, free := storage.MapBuffer(size)
		if len(b) != size || cap(b) != size {
			t.Fatalf("len %d, cap %d, want %d", len(b), cap(b), size)
		}
		if address := uintptr(unsafe.Pointer(&b[0])); address%(2<<20) != 0 {
			t.Fatalf("address %#x is not that of a huge page", address)
		}
		b[0], b[size-1] = 1, 1
		free()
	}
	if grown := mappedBytes(t) - before; grown > cycles*size/2 {
		t.Errorf("%d more bytes are mapped", grown)
	}
}

// mappedBytes returns how many bytes of memory this process has mapped.
func mappedBytes(t *testing.T) int64 {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var pages int64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
