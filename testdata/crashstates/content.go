package crashstates

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync/atomic"
)

const (
	sectorSize = 512 // what a disk writes whole or not at all
	pageSize   = 4096
)

// page is a piece of a file. It does not change once it is part of a Content.
type page struct {
	data []byte        // pageSize bytes
	sum  atomic.Uint64 // hash of data; 0: not computed yet
}

var zeros = &page{data: make([]byte, pageSize)}

// Content is the bytes and the mode of a file. It is a value: each change makes
// another one, which shares the pages that are the same, so that thousands of
// states fit into memory. Any number of goroutines may read it.
type Content struct {
	size  int64
	mode  uint32
	pages []*page
}

// write returns c with data, which must not change any more, at off. A gap
// before it reads as zeros.
func (c Content) write(off int64, data []byte) Content {
	if len(data) == 0 {
		return c
	}
	c = c.resize(max(c.size, off+int64(len(data))))
	for len(data) > 0 {
		i, within := off/pageSize, off%pageSize
		n := int(min(pageSize-within, int64(len(data))))
		if n == pageSize {
			c.pages[i] = &page{data: data[:n:n]}
		} else {
			c.pages[i] = c.pages[i].clone()
			copy(c.pages[i].data[within:], data)
		}
		data, off = data[n:], off+int64(n)
	}
	return c
}

// resize returns c cut or extended by zeros to size, with a page list of its own.
func (c Content) resize(size int64) Content {
	n := int((size + pageSize - 1) / pageSize)
	pages := make([]*page, n)
	for i := copy(pages, c.pages); i < n; i++ {
		pages[i] = zeros
	}
	if rest := size % pageSize; size < c.size && rest > 0 {
		pages[n-1] = pages[n-1].clone()
		clear(pages[n-1].data[rest:])
	}
	return Content{size: size, mode: c.mode, pages: pages}
}

func (p *page) clone() *page { return &page{data: slices.Clone(p.data)} }

// bytes returns the content as a reader of the file gets it.
func (c Content) bytes() []byte {
	all := make([]byte, 0, len(c.pages)*pageSize)
	for _, p := range c.pages {
		all = append(all, p.data...)
	}
	return all[:c.size]
}

// hashSeed is that of the pages' hashes, which are compared within one process.
var hashSeed = maphash.MakeSeed()

// append adds the size, the mode and the hashes of the pages to b.
func (c Content) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(c.size))
	b = binary.BigEndian.AppendUint32(b, c.mode)
	for _, p := range c.pages {
		sum := p.sum.Load()
		if sum == 0 {
			sum = maphash.Bytes(hashSeed, p.data)
			p.sum.Store(sum)
		}
		b = binary.BigEndian.AppendUint64(b, sum)
	}
	return b
}

// State is a directory as a disk may hold it, by name.
type State map[string]Content

// id returns a digest that differs between different states.
func (s State) id() [sha256.Size]byte {
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	var b []byte
	for _, name := range names {
		b = append(append(b, name...), 0)
		b = s[name].append(b)
	}
	return sha256.Sum256(b)
}
