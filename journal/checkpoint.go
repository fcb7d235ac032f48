package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// MaxCheckpoints is the number of checkpoints in the journal: the newest, and
// two older ones to use when the data on the disk does not match the newest.
const MaxCheckpoints = 3

// MaxDigest is the maximum length of a checkpoint's digest state in bytes. It
// keeps [MaxCheckpoints] checkpoints inside one page of the file.
const MaxDigest = 256

// Errors of [Journal.Commit] and [Journal.Rewind]. Both are mistakes of the
// caller, and nothing was written.
var (
	// ErrCheckpoint means that the checkpoint contradicts itself.
	ErrCheckpoint = errors.New("journal: impossible checkpoint")
	// ErrBackwards means that Commit got an offset below the newest
	// checkpoint's; only Rewind may lower it.
	ErrBackwards = errors.New("journal: checkpoint moves backwards")
)

// Checkpoint is how much of the package is durable. More may be durable, never
// less: the caller syncs the data before it commits the checkpoint.
type Checkpoint struct {
	Seq        uint64 // set by Commit and Rewind: one more than in the checkpoint before
	Generation uint64 // set by Commit and Rewind: the record's
	Offset     int64  // bytes of the package that are durable
	Tail       int64  // bytes covered by TailCRC, the last one at Offset-1
	TailCRC    uint32 // CRC-32C
	Digest     []byte // digest state after Offset bytes, at most MaxDigest

	// Stats, if not nil, become the record's in the transaction of the checkpoint.
	// They are no part of the stored checkpoint.
	Stats *Stats
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

// possible reports whether otad can have made c for the job. No journal lives for
// so many checkpoints that their number does not fit into an int64.
func (c Checkpoint) possible(job Job) bool {
	return c.Seq <= math.MaxInt64 && (job.Size == 0 || c.Offset <= job.Size)
}

// slot is the key of c in the file: c replaces the oldest checkpoint.
func (c Checkpoint) slot() int { return int(c.Seq % MaxCheckpoints) }

// The body of a stored checkpoint, integers in big-endian order:
//
//	8 bytes  Seq
//	8 bytes  Generation
//	8 bytes  Offset
//	8 bytes  Tail
//	4 bytes  TailCRC
//	n bytes  Digest
//
// The integers are frozen, as the record's keys are (see RecordVersion). A
// later version may add bytes behind the digest state or use a digest state of
// a newer format. Either way package hashing does not accept these bytes, and
// the caller hashes the package again up to Offset.
const (
	checkpointVersion = 1
	checkpointFields  = 4*8 + 4
)

func encodeCheckpoint(c Checkpoint) []byte {
	body := make([]byte, 0, checkpointFields+len(c.Digest))
	for _, v := range [...]uint64{c.Seq, c.Generation, uint64(c.Offset), uint64(c.Tail)} {
		body = binary.BigEndian.AppendUint64(body, v)
	}
	body = binary.BigEndian.AppendUint32(body, c.TailCRC)
	body = append(body, c.Digest...)
	return appendChecksum(make([]byte, 0, headerSize+len(body)), checkpointVersion, body)
}

// decodeCheckpoint returns a stored checkpoint and its version.
func decodeCheckpoint(raw []byte) (Checkpoint, byte, error) {
	version, b, err := verifyChecksum(raw)
	if err == nil && len(b) < checkpointFields {
		err = fmt.Errorf("%w: %d bytes", errDamaged, len(b))
	}
	if err != nil {
		return Checkpoint{}, 0, fmt.Errorf("checkpoint: %w", err)
	}
	c := Checkpoint{
		Seq:        binary.BigEndian.Uint64(b),
		Generation: binary.BigEndian.Uint64(b[8:]),
		Offset:     int64(binary.BigEndian.Uint64(b[16:])),
		Tail:       int64(binary.BigEndian.Uint64(b[24:])),
		TailCRC:    binary.BigEndian.Uint32(b[32:]),
		Digest:     slices.Clone(b[checkpointFields:]),
	}
	if version > checkpointVersion && len(c.Digest) > MaxDigest {
		c.Digest = c.Digest[:0] // does not fit into this build's journal
	}
	return c, version, c.validate()
}
