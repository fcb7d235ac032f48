package journal

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// The file has five buckets. Bucket "checkpoint" has one checkpoint under each
// of the keys "0", "1" and "2". All three are small enough that bbolt stores
// them inside the page that lists the buckets. The record is split into parts
// of at most one page: one part in each of the buckets "state.0" to "state.3",
// under the key "record".
//
// This bounds the file. Every allocation is a single page, so any free page
// fits and nothing can be fragmented. At most these are in use: two meta pages,
// the page of the buckets, the free list and four parts. A transaction copies
// the last six. So there are at most 2+6+6 = 14 pages, and bbolt doubles the
// file only after 15. One value of four pages, by contrast, needs four
// neighbouring pages, and in the long run 22 pages to find them.
//
// A checkpoint writes three pages, 12 KiB: buckets, free list, meta page.
const (
	bucketCheckpoint = "checkpoint"
	bucketState      = "state." // and the part's number
	keyRecord        = "record"

	parts     = 4
	partSize  = 4000 // a page of 4096 bytes less its headers
	maxRecord = parts * partSize
)

// image is the content of the file as bytes: nil where a key is missing.
type image struct {
	parts [parts][]byte
	slots [MaxCheckpoints][]byte
	stale bool // a page that is not in use holds something of an earlier content
}

func partBucket(i int) []byte { return fmt.Appendf(nil, "%s%d", bucketState, i) }
func slotKey(i int) []byte    { return fmt.Appendf(nil, "%d", i) }

func (m *image) equal(o *image) bool {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	return slices.EqualFunc(m.parts[:], o.parts[:], same) && slices.EqualFunc(m.slots[:], o.slots[:], same)
}

// contents is a decoded image. It is not changed after it is published.
type contents struct {
	record      Record
	raw         []byte       // stored form of record
	checkpoints []Checkpoint // of the record's Generation, newest first
	newer       string       // what a newer otad has written; empty: nothing
}

// parse returns what is in a journal file. Its error is a *damageError.
func parse(file []byte) (*image, *contents, error) {
	img, err := verify(file)
	if err != nil {
		return nil, nil, err
	}
	now, err := img.decode()
	if err != nil {
		return nil, nil, damaged("%v", err)
	}
	return img, now, nil
}

// decode fails only on the record. A checkpoint that is damaged, of another
// generation or impossible is left out: there may be others, and without any the
// package is fetched from its beginning.
func (m *image) decode() (*contents, error) {
	c := &contents{raw: bytes.Join(m.parts[:], nil)}
	record, version, err := decodeRecord(c.raw)
	if err != nil {
		return nil, err
	}
	c.record = record
	if version > RecordVersion {
		c.newer = fmt.Sprintf("the record is of version %d, this otad writes version %d", version, RecordVersion)
	}
	for i, raw := range m.slots {
		cp, version, err := decodeCheckpoint(raw)
		if err != nil || cp.slot() != i || cp.Generation != c.record.Generation || !cp.possible(c.record.Job) {
			continue
		}
		c.checkpoints = append(c.checkpoints, cp)
		if version > checkpointVersion && c.newer == "" {
			c.newer = fmt.Sprintf("a checkpoint is of version %d, this otad writes version %d", version, checkpointVersion)
		}
	}
	slices.SortFunc(c.checkpoints, func(a, b Checkpoint) int { return cmp.Compare(b.Seq, a.Seq) })
	return c, nil
}

// withStats returns the record with s, and its stored form. A record that would
// not fit any more stays as it is: sums are not worth an entry of the outbox.
func (c *contents) withStats(s Stats) (Record, []byte) {
	r := c.record.clone()
	r.Stats = s
	raw, err := encodeRecord(r)
	if err != nil || len(raw) > maxRecord {
		return c.record, c.raw
	}
	return r, raw
}

func (c *contents) image() *image {
	m := new(image)
	for i, part := range slices.Collect(slices.Chunk(c.raw, partSize)) {
		m.parts[i] = part
	}
	for _, cp := range c.checkpoints {
		m.slots[cp.slot()] = encodeCheckpoint(cp)
	}
	return m
}

// writeTo makes m the content of the file and writes only what differs. This
// also corrects a transaction that bbolt applied although it reported an error
// (when the last sync fails): the next transaction then finds more to write.
func (m *image) writeTo(tx *bolt.Tx) error {
	for i, part := range m.parts {
		b, err := tx.CreateBucketIfNotExists(partBucket(i))
		if err != nil {
			return err
		}
		if err := put(b, []byte(keyRecord), part); err != nil {
			return err
		}
	}
	b, err := tx.CreateBucketIfNotExists([]byte(bucketCheckpoint))
	for i := 0; i < MaxCheckpoints && err == nil; i++ {
		err = put(b, slotKey(i), m.slots[i])
	}
	return err
}

func put(b *bolt.Bucket, key, value []byte) error {
	old := b.Get(key)
	switch {
	case value == nil && old != nil:
		return b.Delete(key)
	case value == nil || (old != nil && bytes.Equal(old, value)):
		return nil
	}
	return b.Put(key, value)
}

// load reads the image through bbolt.
func load(db *bolt.DB) (*image, error) {
	m := new(image)
	err := db.View(func(tx *bolt.Tx) error {
		for i := range m.parts {
			m.parts[i] = get(tx, partBucket(i), []byte(keyRecord))
		}
		for i := range m.slots {
			m.slots[i] = get(tx, []byte(bucketCheckpoint), slotKey(i))
		}
		return nil
	})
	return m, err
}

// get returns a copy, because bbolt's slice is valid only in the transaction.
func get(tx *bolt.Tx, bucket, key []byte) []byte {
	if b := tx.Bucket(bucket); b != nil {
		return bytes.Clone(b.Get(key))
	}
	return nil
}
