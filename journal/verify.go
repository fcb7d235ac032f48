package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// bbolt trusts its file: with a damaged one it panics, loops for ever or maps
// memory behind the end of the file. So verify follows each page that bbolt
// will follow and checks it before bbolt opens the file.
//
// The checks are stricter than the format (described in bbolt's
// internal/common), because a journal always has the same shape: a leaf page
// with five buckets, each bucket inside that page or on one leaf page of its
// own, and a free list with every other page. page.go decodes the pages.

// verifier checks one file. Pages 0 and 1 are meta pages; used marks the other
// pages that something points to.
type verifier struct {
	file []byte
	hwm  uint64 // high-water mark: the first page never allocated
	used []bool
}

// verify returns the content of a journal file, or a *damageError.
func verify(file []byte) (*image, error) {
	m, err := currentMeta(file)
	if err != nil {
		return nil, err
	}
	if m.hwm < 2 || m.hwm > uint64(len(file)/pageSize) {
		return nil, damaged("%d pages in use, the file has %d", m.hwm, len(file)/pageSize)
	}
	v := &verifier{file: file, hwm: m.hwm, used: make([]bool, m.hwm)}
	img, err := v.root(m.root)
	if err != nil {
		return nil, err
	}
	reached := slices.Clone(v.used)
	img.stale = hasStaleLeaf(file, reached)
	return img, v.freelist(m.freelist)
}

// root checks the page that lists the buckets and everything below it.
func (v *verifier) root(id uint64) (*image, error) {
	page, err := v.page(id, flagLeaf)
	if err != nil {
		return nil, err
	}
	buckets, err := elements(page, elemBucket)
	if err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if len(buckets) != 1+parts {
		return nil, damaged("%d buckets, a journal has %d", len(buckets), 1+parts)
	}
	img := new(image)
	for _, b := range buckets {
		keys, err := v.bucket(b.value)
		if err == nil {
			err = img.fill(string(b.key), keys)
		}
		if err != nil {
			return nil, fmt.Errorf("bucket %q: %w", b.key, err)
		}
	}
	return img, nil
}

// bucket returns the keys of a bucket. Its header has the number of the
// bucket's page, or 0 when the page follows the header inline.
func (v *verifier) bucket(b []byte) ([]element, error) {
	if len(b) < bucketSize {
		return nil, damaged("header of %d bytes", len(b))
	}
	if id := binary.NativeEndian.Uint64(b); id != 0 {
		page, err := v.page(id, flagLeaf)
		if err != nil {
			return nil, err
		}
		return elements(page, 0)
	}
	page := b[bucketSize:]
	if err := checkHeader(page, 0, flagLeaf); err != nil {
		return nil, err
	}
	return elements(page, 0)
}

// fill copies the values of one bucket into m.
func (m *image) fill(bucket string, keys []element) error {
	for i := range m.parts {
		if bucket == string(partBucket(i)) {
			return fill(keys, func(key string) *[]byte {
				if key == keyRecord {
					return &m.parts[i]
				}
				return nil
			})
		}
	}
	if bucket != bucketCheckpoint {
		return damaged("not one of a journal")
	}
	return fill(keys, func(key string) *[]byte {
		for i := range m.slots {
			if key == string(slotKey(i)) {
				return &m.slots[i]
			}
		}
		return nil
	})
}

func fill(keys []element, place func(string) *[]byte) error {
	for _, k := range keys {
		p := place(string(k.key))
		if p == nil {
			return damaged("key %q is not one of a journal", k.key)
		}
		*p = bytes.Clone(k.value)
	}
	return nil
}

// freelist checks that the free list names exactly the pages that nothing else
// uses: a page that is both would be overwritten, a page that is neither would
// be lost.
func (v *verifier) freelist(id uint64) error {
	page, err := v.page(id, flagFreelist)
	if err != nil {
		return err
	}
	count := int(binary.NativeEndian.Uint16(page[10:]))
	if pageHeader+8*count > len(page) {
		return damaged("free list of %d pages", count)
	}
	for i := range count {
		if err := v.use(binary.NativeEndian.Uint64(page[pageHeader+8*i:])); err != nil {
			return fmt.Errorf("free list: %w", err)
		}
	}
	for id := uint64(2); id < v.hwm; id++ {
		if !v.used[id] {
			return damaged("page %d is neither used nor free", id)
		}
	}
	return nil
}

// page returns page id, which must have these flags and no other user.
func (v *verifier) page(id uint64, flags uint16) ([]byte, error) {
	if err := v.use(id); err != nil {
		return nil, err
	}
	page := v.file[id*pageSize:][:pageSize]
	if err := checkHeader(page, id, flags); err != nil {
		return nil, err
	}
	return page, nil
}

// use marks page id as used, once.
func (v *verifier) use(id uint64) error {
	switch {
	case id < 2 || id >= v.hwm:
		return damaged("page %d is not one of the pages 2 to %d", id, v.hwm-1)
	case v.used[id]:
		return damaged("page %d is used twice", id)
	}
	v.used[id] = true
	return nil
}
