package hashing_test

import (
	"fmt"

	"otad/hashing"
)

// A download is cut after 14 bytes. The next process restores the digest from
// the checkpoint and hashes only the bytes that are missing.
func Example() {
	d := hashing.New(hashing.MD5 | hashing.SHA256)
	d.Write([]byte("The quick brow"))
	checkpoint := d.AppendState(nil) // stored durably, under a checksum

	resumed, err := hashing.Resume(checkpoint)
	if err != nil { // hash the package again, up to the checkpoint
		fmt.Println(err)
		return
	}
	fmt.Println("resumed at", resumed.Len())
	resumed.Write([]byte("n fox jumps over the lazy dog"))
	fmt.Println(resumed.MD5())
	fmt.Println(resumed.SHA256())
	// Output:
	// resumed at 14
	// 9e107d9d372bb6826bd81d3542a419d6
	// d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592
}
