package journal

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
)

// The parts of bbolt's format, version 2. The format has integers in the byte
// order of the machine.
const (
	pageSize   = 4096
	pageHeader = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elemSize   = 16 // flags, pos, ksize, vsize uint32; pos counts from the element
	bucketSize = 16 // root uint64, sequence uint64
	metaSize   = 64 // see metaAt

	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10
	elemBucket   = 0x01 // the value is a bucket

	boltMagic   = 0xED0CDAED
	boltVersion = 2
)

// meta is the part of a meta page that verify needs.
type meta struct{ root, freelist, hwm, txid uint64 }

// currentMeta returns the meta page that bbolt will use: the valid one with the
// higher transaction number. A meta page that is not valid is no damage: a
// power cut in the middle of a commit leaves one.
func currentMeta(file []byte) (meta, error) {
	var best meta
	found := false
	for _, pos := range []int{0, 1024, 2048, pageSize} {
		m, ok := metaAt(file, pos)
		if !ok {
			continue
		}
		// bbolt also looks where a smaller page size would put the second
		// meta page, and does not check the page header in front of it.
		page := file[pos:]
		id := binary.NativeEndian.Uint64(page)
		size := binary.NativeEndian.Uint32(page[pageHeader+8:])
		if size != pageSize || uint64(pos) != id*pageSize || m.txid%2 != id ||
			binary.NativeEndian.Uint16(page[8:]) != flagMeta {
			return meta{}, damaged("meta page at %d belongs elsewhere (page %d, page size %d)", pos, id, size)
		}
		if !found || m.txid > best.txid {
			best, found = m, true
		}
	}
	if !found {
		return meta{}, damaged("no valid meta page")
	}
	return best, nil
}

// metaAt returns the meta page at pos; ok is false if bbolt would not accept
// it. Its fields are magic, version, page size and flags (uint32 each), root
// bucket (root, sequence), free list, high-water mark, transaction number, and
// the FNV-64a of all these (uint64 each).
func metaAt(file []byte, pos int) (m meta, ok bool) {
	if pos+pageHeader+metaSize > len(file) {
		return m, false
	}
	b := file[pos+pageHeader:][:metaSize]
	h := fnv.New64a()
	h.Write(b[:metaSize-8])
	order := binary.NativeEndian
	ok = order.Uint32(b) == boltMagic && order.Uint32(b[4:]) == boltVersion &&
		order.Uint64(b[metaSize-8:]) == h.Sum64()
	return meta{
		root:     order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]),
		hwm:      order.Uint64(b[40:]),
		txid:     order.Uint64(b[48:]),
	}, ok
}

func checkHeader(page []byte, id uint64, flags uint16) error {
	if len(page) < pageHeader {
		return damaged("page of %d bytes", len(page))
	}
	order := binary.NativeEndian
	if order.Uint64(page) != id || order.Uint16(page[8:]) != flags || order.Uint32(page[12:]) != 0 {
		return damaged("page %d has number %d, type %#x, overflow %d",
			id, order.Uint64(page), order.Uint16(page[8:]), order.Uint32(page[12:]))
	}
	return nil
}

// element is a key of a leaf page with its value.
type element struct{ key, value []byte }

// elements returns the keys of a leaf page with their values. All of them must
// have these flags, be in order, and lie behind the table that points to them.
func elements(page []byte, flags uint32) ([]element, error) {
	order := binary.NativeEndian
	count := int(order.Uint16(page[10:]))
	table := uint64(pageHeader + elemSize*count)
	if table > uint64(len(page)) {
		return nil, damaged("%d keys in %d bytes", count, len(page))
	}
	found := make([]element, count)
	for i := range found {
		at := pageHeader + elemSize*i
		e := page[at:]
		start := uint64(at) + uint64(order.Uint32(e[4:]))
		middle := start + uint64(order.Uint32(e[8:]))
		end := middle + uint64(order.Uint32(e[12:]))
		if order.Uint32(e) != flags || start < table || middle == start || end > uint64(len(page)) {
			return nil, damaged("key %d of %d is not sound", i, count)
		}
		found[i] = element{page[start:middle], page[middle:end]}
		if i > 0 && bytes.Compare(found[i-1].key, found[i].key) >= 0 {
			return nil, damaged("key %d of %d is out of order", i, count)
		}
	}
	return found, nil
}
