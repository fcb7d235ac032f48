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

// TestCheckpointFormatIsFrozen is for checkpoints what
// TestRecordFormatIsFrozen is for records.
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
			t.Errorf("%s was accepted", name)
		}
	}
}

// FuzzCheckpoint checks that decoding never panics, that encoding returns the
// same bytes that were decoded, and that every flipped bit is found.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte{}, uint(0))
	f.Fuzz(func(t *testing.T, body []byte, bit uint) {
		_, _ = journal.DecodeCheckpoint(body)
		stored := journal.Stored(body)
		if c, err := journal.DecodeCheckpoint(stored); err == nil {
			if again := journal.EncodeCheckpoint(c); !bytes.Equal(again, stored) {
				t.Errorf("read %x, wrote %x", stored, again)
			}
		}
		bit %= uint(8 * len(stored))
		stored[bit/8] ^= 1 << (bit % 8)
		if c, err := journal.DecodeCheckpoint(stored); err == nil {
			t.Errorf("bit %d flipped and read as %+v", bit, c)
		}
	})
}
