package journal

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// The file holds five buckets. Bucket "checkpoint" keeps one checkpoint under
// each of the keys "0", "1" and "2"; all three together are small enough for
// bbolt to store them inside the page that lists the buckets. The record is cut
// into parts of at most a page, one to a bucket: "state.0" to "state.3", each
// under the key "record".
//
// That is what bounds the file. Every allocation is a single page, so any free
// page will do and nothing can be fragmented. In use are at most two meta
// pages, the page of the buckets, the free list and four parts; a transaction
// copies the last six; 2+6+6 = 14 pages is the most there can ever be, and bbolt
// doubles the file only after 15. One value of four pages, by contrast, needs
// four neighbours, and in the long run 22 pages to find them.
//
// Three pages are written for a checkpoint, 12 KiB: buckets, free list, meta.
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
}

func partBucket(i int) []byte { return fmt.Appendf(nil, "%s%d", bucketState, i) }
func slotKey(i int) []byte    { return fmt.Appendf(nil, "%d", i) }

func (m *image) equal(o *image) bool {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	return slices.EqualFunc(m.parts[:], o.parts[:], same) && slices.EqualFunc(m.slots[:], o.slots[:], same)
}

// contents is what an image means. It is never changed once it is published.
type contents struct {
	record      Record
	raw         []byte       // the record as it is stored
	checkpoints []Checkpoint // of the record's Generation, newest first
}

// understand returns what is in a journal file, or a *damageError.
func understand(file []byte) (*image, *contents, error) {
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

// decode fails only on the record. A checkpoint that is damaged, or of another
// generation, is left out: there are others, and without any the package is
// fetched from its beginning.
func (m *image) decode() (*contents, error) {
	c := &contents{raw: bytes.Join(m.parts[:], nil)}
	var err error
	if c.record, err = decodeRecord(c.raw); err != nil {
		return nil, err
	}
	for i, raw := range m.slots {
		cp, err := decodeCheckpoint(raw)
		if err == nil && cp.slot() == i && cp.Generation == c.record.Generation {
			c.checkpoints = append(c.checkpoints, cp)
		}
	}
	slices.SortFunc(c.checkpoints, func(a, b Checkpoint) int { return cmp.Compare(b.Seq, a.Seq) })
	return c, nil
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

// store makes the file hold m, writing only what is different. That is also
// how a transaction of doubtful outcome is put right: bbolt may report an error
// for one that it applied (when the very last sync fails), and the next one then
// finds more to write.
func (m *image) store(tx *bolt.Tx) error {
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

// get copies, for what bbolt returns is gone with the transaction.
func get(tx *bolt.Tx, bucket, key []byte) []byte {
	if b := tx.Bucket(bucket); b != nil {
		return bytes.Clone(b.Get(key))
	}
	return nil
}
