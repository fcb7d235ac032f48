package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// MaxCheckpoints is how many checkpoints the journal holds: the newest, and two to step
// back to when that one does not hold.
const MaxCheckpoints = 3

// MaxDigest is the longest digest state a checkpoint can carry, in bytes. It
// keeps Kept checkpoints inside one page of the file.
const MaxDigest = 256

// Errors of [Journal.Commit] and [Journal.Rewind]; both mean a mistake of the
// caller, and nothing was written.
var (
	// ErrCheckpoint means a checkpoint that contradicts itself.
	ErrCheckpoint = errors.New("journal: impossible checkpoint")
	// ErrBackwards means a Commit below the newest checkpoint: that is a Rewind.
	ErrBackwards = errors.New("journal: checkpoint moves backwards")
)

// Checkpoint says how much of the package is durable. It may understate that;
// whoever commits it has synced the data before.
type Checkpoint struct {
	Seq        uint64 // set by Commit: grows by one with each as long as the journal is open
	Generation uint64 // set by Commit: the record's
	Offset     int64  // bytes of the package that are durable
	Tail       int64  // bytes covered by TailCRC, the last one is at Offset-1
	TailCRC    uint32 // CRC-32C
	Digest     []byte // digest state after Offset bytes, at most MaxDigest
}

func (c Checkpoint) clone() Checkpoint {
	c.Digest = slices.Clone(c.Digest)
	return c
}

func (c Checkpoint) validate() error {
	switch {
	case c.Offset < 0 || c.Tail < 0 || c.Tail > c.Offset:
		return fmt.Errorf("%w: offset %d, tail %d", ErrCheckpoint, c.Offset, c.Tail)
	case len(c.Digest) > MaxDigest:
		return fmt.Errorf("%w: digest state of %d bytes", ErrCheckpoint, len(c.Digest))
	}
	return nil
}

// slot is the key under which c is kept: it takes the place of the oldest.
func (c Checkpoint) slot() int { return int(c.Seq % MaxCheckpoints) }

// The body of a stored checkpoint, sealed like every value, is, integers in
// big-endian order:
//
//	8 bytes  Seq
//	8 bytes  Generation
//	8 bytes  Offset
//	8 bytes  Tail
//	4 bytes  TailCRC
//	n bytes  Digest
const (
	checkpointVersion = 1
	checkpointFields  = 4*8 + 4
)

func encodeCheckpoint(c Checkpoint) []byte {
	b := make([]byte, sealSize, sealSize+checkpointFields+len(c.Digest))
	for _, v := range [...]uint64{c.Seq, c.Generation, uint64(c.Offset), uint64(c.Tail)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, c.TailCRC)
	b = append(b, c.Digest...)
	seal(b, checkpointVersion)
	return b
}

func decodeCheckpoint(raw []byte) (Checkpoint, error) {
	b, err := unseal(raw, checkpointVersion)
	if err == nil && len(b) < checkpointFields {
		err = errSeal
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c := Checkpoint{
		Seq:        binary.BigEndian.Uint64(b),
		Generation: binary.BigEndian.Uint64(b[8:]),
		Offset:     int64(binary.BigEndian.Uint64(b[16:])),
		Tail:       int64(binary.BigEndian.Uint64(b[24:])),
		TailCRC:    binary.BigEndian.Uint32(b[32:]),
		Digest:     slices.Clone(b[checkpointFields:]),
	}
	return c, c.validate()
}
