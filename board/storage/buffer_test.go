package storage_test

import (
	"os"
	"testing"
	"unsafe"

	"otad/board/storage"
)

func TestMemoryBeginsAtAHugePageAndIsGivenBack(t *testing.T) {
	const size, cycles = 3 << 20, 1000
	before := addressSpace(t)
	for range cycles {
		b, free := storage.MapBuffer(size)
		if len(b) != size || cap(b) != size {
			t.Fatalf("%d bytes, room for %d", len(b), cap(b))
		}
		if at := uintptr(unsafe.Pointer(&b[0])); at%(2<<20) != 0 {
			t.Fatalf("at %#x", at)
		}
		b[0], b[size-1] = 1, 1
		free()
	}
	if grown := addressSpace(t) - before; grown > cycles*size/2 {
		t.Errorf("%d bytes larger after it", grown)
	}
}

// addressSpace is how many bytes of memory this process has mapped.
func addressSpace(t *testing.T) int64 {
	t.Helper()
	var pages int64
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range statm {
		if c < '0' || c > '9' {
			break
		}
		pages = 10*pages + int64(c-'0')
	}
	return pages * int64(os.Getpagesize())
}
