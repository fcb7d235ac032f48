// Package hashing carries a package's digests along its byte stream, so that
// verifying a finished download reads nothing again, and saves them in the
// middle of the stream, so that neither does resuming it.
//
// A [Digest] covers exactly [Digest.Len] bytes. [Digest.AppendState] freezes it
// after any byte and [Resume] takes it up there, also in another process, on
// another processor or after a Go upgrade:
//
//	d := hashing.New(hashing.MD5 | hashing.SHA256)
//	d.Write(block)
//	checkpoint.Digest = d.AppendState(nil)
//
// MD5 finds corruption, not tampering: whoever can choose the bytes can choose
// two packages with one MD5. Where that matters ask for SHA-256 as well.
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

// stride is how many bytes each algorithm takes in turn when there are two, so
// that the second finds them in the processor's cache.
const stride = 16 << 10

// Digest hashes a stream with one or more algorithms at once. It belongs to
// one goroutine at a time. Make one with [New] or [Resume]; the zero value is
// of no use.
type Digest struct {
	algorithms Algorithms
	length     int64
	md5        savable // nil when not asked for
	sha256     savable // nil when not asked for
}

// savable is what the hashes of the standard library offer besides hash.Hash.
type savable interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// New returns a Digest of the empty stream. It panics when a names no
// algorithm, or one that this package does not know.
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

// Write adds p to the stream. It always takes all of p and never fails.
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

// Len is the number of bytes written, those before a [Resume] included.
func (d *Digest) Len() int64 { return d.length }

// Algorithms is the set d was made with.
func (d *Digest) Algorithms() Algorithms { return d.algorithms }

// MD5 returns the MD5 of the bytes so far in lower-case hexadecimal, "" when it
// was not asked for. The stream may go on afterwards.
func (d *Digest) MD5() string {
	if d.md5 == nil {
		return ""
	}
	var sum []byte
	unrestricted(func() { sum = d.md5.Sum(nil) })
	return hex.EncodeToString(sum)
}

// SHA256 returns the SHA-256 of the bytes so far in lower-case hexadecimal, ""
// when it was not asked for. The stream may go on afterwards.
func (d *Digest) SHA256() string {
	if d.sha256 == nil {
		return ""
	}
	return hex.EncodeToString(d.sha256.Sum(nil))
}

// ValidMD5 reports whether s has the form of an MD5: 32 lower-case hexadecimal
// digits.
func ValidMD5(s string) bool { return validHex(s, md5.Size) }

// ValidSHA256 reports whether s has the form of a SHA-256: 64 lower-case
// hexadecimal digits.
func ValidSHA256(s string) bool { return validHex(s, sha256.Size) }

func validHex(s string, size int) bool {
	if len(s) != hex.EncodedLen(size) {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// unrestricted runs f outside the FIPS 140-3 "only" mode, in which MD5 refuses
// to write and panics on Sum. That is not a way around the mode: MD5 is used
// here to find corruption, never as a security function.
func unrestricted(f func()) { fips140.WithoutEnforcement(f) }
