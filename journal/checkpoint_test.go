package journal_test

import (
	"bytes"
	"reflect"
	"testing"

	"otad/journal"
)

func fullCheckpoint() journal.Checkpoint {
	return journal.Checkpoint{
		Seq:        41,
		Generation: 7,
		Offset:     41 << 20,
		Tail:       1 << 20,
		TailCRC:    0xE3069283,
		Digest:     []byte("digest state"),
	}
}

// TestCheckpointFormatIsFrozen is to checkpoints what
// TestRecordFormatIsFrozen is to records.
func TestCheckpointFormatIsFrozen(t *testing.T) {
	frozen := golden(t, "checkpoint-v1")
	got, err := journal.DecodeCheckpoint(frozen)
	if want := fullCheckpoint(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("reads %v\n%+v, want\n%+v", err, got, want)
	}
	if raw := journal.EncodeCheckpoint(fullCheckpoint()); !bytes.Equal(raw, frozen) {
		t.Errorf("writes\n%x, was\n%x", raw, frozen)
	}
}

func TestCheckpointRefuses(t *testing.T) {
	good := journal.EncodeCheckpoint(fullCheckpoint())
	later := bytes.Clone(good)
	later[0]++
	encode := func(change func(*journal.Checkpoint)) []byte {
		c := fullCheckpoint()
		change(&c)
		return journal.EncodeCheckpoint(c)
	}
	for name, raw := range map[string][]byte{
		"nothing":                   nil,
		"half a header":             good[:4],
		"no fields":                 journal.Stored(nil),
		"half the fields":           journal.Stored(make([]byte, 35)),
		"a later version":           later,
		"a cut one":                 good[:len(good)-1],
		"a surplus byte":            append(bytes.Clone(good), 0),
		"a negative offset":         encode(func(c *journal.Checkpoint) { c.Offset = -1 }),
		"a negative tail":           encode(func(c *journal.Checkpoint) { c.Tail = -1 }),
		"a tail before the start":   encode(func(c *journal.Checkpoint) { c.Tail = c.Offset + 1 }),
		"a digest that is too long": encode(func(c *journal.Checkpoint) { c.Digest = make([]byte, journal.MaxDigest+1) }),
	} {
		if _, err := journal.DecodeCheckpoint(raw); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// FuzzCheckpoint checks that decoding never panics, that encoding gives back
// the very bytes that were decoded, and that no flipped bit goes unnoticed.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte{}, uint(0))
	f.Fuzz(func(t *testing.T, body []byte, bit uint) {
		_, _ = journal.DecodeCheckpoint(body)
		sealed := journal.Stored(body)
		if c, err := journal.DecodeCheckpoint(sealed); err == nil {
			if again := journal.EncodeCheckpoint(c); !bytes.Equal(again, sealed) {
				t.Errorf("read %x, wrote %x", sealed, again)
			}
		}
		bit %= uint(8 * len(sealed))
		sealed[bit/8] ^= 1 << (bit % 8)
		if c, err := journal.DecodeCheckpoint(sealed); err == nil {
			t.Errorf("bit %d flipped and read as %+v", bit, c)
		}
	})
}
