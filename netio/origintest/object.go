package origintest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"time"
)

// Object is the content that an [Origin] serves: Bytes, or if that is nil, Size
// bytes generated from Seed as they are read, so that a large object needs no
// memory. It is a value that can be copied. Its methods may be called from any
// goroutine.
type Object struct {
	Size         int64     // in bytes; not used if Bytes is set
	Seed         uint64    // each seed has its own content
	Bytes        []byte    // must not change while an origin serves it
	ETag         string    // as sent, with quotes; empty: from the content
	LastModified time.Time // zero: from the content
}

// Len returns the size in bytes.
func (o Object) Len() int64 {
	if o.Bytes != nil {
		return int64(len(o.Bytes))
	}
	return o.Size
}

// ReadAt implements io.ReaderAt.
func (o Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("origintest: read at %d", off)
	}
	if off >= o.Len() {
		return 0, io.EOF
	}
	if o.Bytes != nil {
		return bytes.NewReader(o.Bytes).ReadAt(p, off)
	}
	n := int(min(int64(len(p)), o.Size-off))
	generate(p[:n], o.Seed, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// MD5 returns the MD5 of the content in lower-case hex.
func (o Object) MD5() string { return o.digest(md5.New()) }

// SHA256 returns the SHA-256 of the content in lower-case hex.
func (o Object) SHA256() string { return o.digest(sha256.New()) }

func (o Object) digest(h hash.Hash) string {
	if _, err := io.Copy(h, io.NewSectionReader(o, 0, o.Len())); err != nil {
		panic(err) // neither a hash nor ReadAt can fail here
	}
	return hex.EncodeToString(h.Sum(nil))
}

// etag returns the ETag that the origin sends.
func (o Object) etag() string {
	if o.ETag != "" {
		return o.ETag
	}
	return fmt.Sprintf(`"%016x-%x"`, o.identity(), o.Len())
}

// lastModified returns a date before 2000, where the clock of a
// testing/synctest bubble starts: an origin must not send a date later than its
// Date (RFC 9110 §8.8.2.1).
func (o Object) lastModified() time.Time {
	if !o.LastModified.IsZero() {
		return o.LastModified
	}
	newest := time.Date(1999, time.December, 31, 0, 0, 0, 0, time.UTC)
	return newest.Add(-time.Duration(o.identity()%10_000_000) * time.Second)
}

// identity returns a number that is different for each content; the validators
// are made from it.
func (o Object) identity() uint64 {
	if o.Bytes == nil {
		return mix(o.Seed)
	}
	h := fnv.New64a()
	h.Write(o.Bytes)
	return h.Sum64()
}

// generate fills p with the generated content at off. Each 8-byte word is a
// hash of seed and position.
func generate(p []byte, seed uint64, off int64) {
	var word [8]byte
	for len(p) > 0 {
		binary.LittleEndian.PutUint64(word[:], mix(mix(seed)+uint64(off/8)))
		n := copy(p, word[off%8:])
		p, off = p[n:], off+int64(n)
	}
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
