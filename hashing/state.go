package hashing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrState is returned by [Resume] for bytes that are not a saved state, or not
// one of a version that this build reads. The caller then hashes the package
// again from its beginning.
var ErrState = errors.New("hashing: not a usable digest state")

// The format of a saved state, integers in big-endian order:
//
//	1 byte   version of this layout
//	1 byte   algorithms
//	8 bytes  bytes hashed
//	then for each algorithm, MD5 before SHA-256:
//	2 bytes  length of what follows
//	n bytes  the state as the standard library marshals it
const (
	stateVersion = 1
	headerSize   = 1 + 1 + 8
)

// AppendState appends the state of d to b and returns the longer slice. The
// state has 104 bytes for MD5 and 214 bytes for MD5 and SHA-256. AppendState
// allocates nothing if b has enough capacity.
//
// The state has no checksum of its own: store it under one.
func (d *Digest) AppendState(b []byte) []byte {
	b = append(b, stateVersion, byte(d.algorithms))
	b = binary.BigEndian.AppendUint64(b, uint64(d.length))
	for _, h := range [...]savable{d.md5, d.sha256} {
		if h != nil {
			b = appendHash(b, h)
		}
	}
	return b
}

func appendHash(b []byte, h savable) []byte {
	start := len(b)
	b, err := h.AppendBinary(append(b, 0, 0))
	if err != nil {
		panic("hashing: " + err.Error()) // the standard library returns none
	}
	binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start-2))
	return b
}

// Resume returns a Digest in the state that [Digest.AppendState] saved. Its
// error matches [ErrState].
//
// Resume refuses another version, unknown algorithms, missing or surplus bytes,
// padding that is not zero, and a length that differs from the one inside each
// hash's state. It cannot check the running hash values and the bytes of the
// last, unfinished 64-byte block: with a flipped bit there, the state is a
// valid one of another stream. The checksum around the state must find that.
func Resume(state []byte) (*Digest, error) {
	if len(state) < headerSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrState, len(state))
	}
	if v := state[0]; v != stateVersion {
		return nil, fmt.Errorf("%w: version %d", ErrState, v)
	}
	a := Algorithms(state[1])
	if a == 0 || a&^known != 0 {
		return nil, fmt.Errorf("%w: algorithms %#x", ErrState, state[1])
	}
	d := New(a)
	d.length = int64(binary.BigEndian.Uint64(state[2:]))
	rest, err := state[headerSize:], error(nil)
	for _, h := range [...]savable{d.md5, d.sha256} {
		if h != nil {
			rest, err = d.restore(h, rest)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d surplus bytes", ErrState, len(rest))
	}
	return d, nil
}

// restore sets h from the first state in b and returns the rest of b.
func (d *Digest) restore(h savable, b []byte) (rest []byte, err error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("%w: cut short", ErrState)
	}
	size := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < size {
		return nil, fmt.Errorf("%w: cut short", ErrState)
	}
	state, rest := b[:size], b[size:]
	if err := h.UnmarshalBinary(state); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	// h must save the same state again: this finds padding that is not zero.
	// Both hashes have the length at the end of their state.
	again, err := h.AppendBinary(make([]byte, 0, size))
	if err != nil || !bytes.Equal(again, state) {
		return nil, fmt.Errorf("%w: is not the same after restoring", ErrState)
	}
	if n := int64(binary.BigEndian.Uint64(state[size-8:])); n != d.length || n < 0 {
		return nil, fmt.Errorf("%w: %d bytes in the hash, %d in the header", ErrState, n, d.length)
	}
	return rest, nil
}
