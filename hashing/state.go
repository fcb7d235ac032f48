package hashing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrState is returned by [Resume] for bytes that are not a saved state, or not
// one that this version can go on from. The way out is to hash the bytes again.
var ErrState = errors.New("hashing: not a usable digest state")

// A saved state is, integers in big-endian order:
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

// AppendState appends the state of d to b and returns the longer slice. It
// takes 104 bytes for MD5, 214 for MD5 and SHA-256 together, and allocates
// nothing when b has room for them.
//
// The state carries no checksum of its own: keep it under one.
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
		panic("hashing: " + err.Error()) // the standard library documents none
	}
	binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start-2))
	return b
}

// Resume returns a Digest that goes on where the one that wrote state was. The
// error matches [ErrState].
//
// It refuses another version, unknown algorithms, missing or surplus bytes,
// padding that is not zero, and a length that differs from the one that each
// hash keeps for itself. It cannot know the running hash values and the bytes
// of the last, unfinished 64-byte block: a bit flipped there is a valid state of
// another stream. That is what the checksum around the state is for.
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

// restore sets h from the front of b and returns what is behind it.
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
	// What h saves now must be what it was restored from: that finds padding
	// which is not zero. Both hashes end their state with the length.
	again, err := h.AppendBinary(make([]byte, 0, size))
	if err != nil || !bytes.Equal(again, state) {
		return nil, fmt.Errorf("%w: does not survive restoring", ErrState)
	}
	if n := int64(binary.BigEndian.Uint64(state[size-8:])); n != d.length || n < 0 {
		return nil, fmt.Errorf("%w: of %d bytes, said to be of %d", ErrState, n, d.length)
	}
	return rest, nil
}
