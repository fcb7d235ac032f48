// Package hashing computes a package's digests while the package is received.
// A complete download is verified without reading it again, and a resumed one
// goes on hashing where it stopped.
//
// A [Digest] covers exactly [Digest.Len] bytes. [Digest.AppendState] saves it
// after any byte, and [Resume] restores it, also in another process, on another
// processor or after a Go upgrade.
//
// MD5 finds corruption, not tampering: somebody who can choose the bytes can
// make two packages with the same MD5. Where that matters, use SHA-256.
package hashing

import (
	"crypto/fips140"
	"crypto/md5"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"hash"
)

// Algorithms is a set of digest algorithms.
type Algorithms uint8

// The algorithms a [Digest] can compute, RFC 1321 and FIPS 180-4. The values
// are stored in saved states and never change.
const (
	MD5 Algorithms = 1 << iota
	SHA256

	known = MD5 | SHA256
)

// stride is the number of bytes that one algorithm hashes before the other one
// does. They are then still in the processor's cache.
const stride = 16 << 10

// Digest hashes a stream with one or both algorithms. It must be used by one
// goroutine at a time. [New] and [Resume] return a Digest; the zero value is
// not usable.
type Digest struct {
	algorithms Algorithms
	length     int64
	md5        savable // nil if not in algorithms
	sha256     savable // nil if not in algorithms
}

// savable is implemented by the hashes of the standard library.
type savable interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// New returns a Digest of the empty stream. It panics if a is empty or has an
// unknown algorithm.
func New(a Algorithms) *Digest {
	if a == 0 || a&^known != 0 {
		panic("hashing: New without a known algorithm")
	}
	d := &Digest{algorithms: a}
	if a&MD5 != 0 {
		unrestricted(func() { d.md5 = md5.New().(savable) })
	}
	if a&SHA256 != 0 {
		d.sha256 = sha256.New().(savable)
	}
	return d
}

// Write adds p to the stream. It always returns len(p) and nil.
func (d *Digest) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > stride && d.algorithms == known {
		d.write(p[:stride])
		p = p[stride:]
	}
	d.write(p)
	return n, nil
}

func (d *Digest) write(p []byte) {
	if d.md5 != nil {
		unrestricted(func() { d.md5.Write(p) })
	}
	if d.sha256 != nil {
		d.sha256.Write(p)
	}
	d.length += int64(len(p))
}

// Len returns the number of bytes written, including those before [Resume].
func (d *Digest) Len() int64 { return d.length }

// Algorithms returns the algorithms of d.
func (d *Digest) Algorithms() Algorithms { return d.algorithms }

// MD5 returns the MD5 of the bytes so far in lower-case hexadecimal, or "" if d
// does not compute it. More bytes may be written afterwards.
func (d *Digest) MD5() string {
	if d.md5 == nil {
		return ""
	}
	var sum []byte
	unrestricted(func() { sum = d.md5.Sum(nil) })
	return hex.EncodeToString(sum)
}

// SHA256 returns the SHA-256 of the bytes so far in lower-case hexadecimal, or
// "" if d does not compute it. More bytes may be written afterwards.
func (d *Digest) SHA256() string {
	if d.sha256 == nil {
		return ""
	}
	return hex.EncodeToString(d.sha256.Sum(nil))
}

// unrestricted runs f outside the FIPS 140-3 "only" mode, in which MD5 returns
// an error on Write and panics on Sum. This does not weaken the mode: MD5 is
// used here to find corruption, never as a security function.
func unrestricted(f func()) { fips140.WithoutEnforcement(f) }
