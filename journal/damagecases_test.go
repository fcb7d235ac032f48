package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"otad/journal"
)

// listed is one way to damage one journal.
type listed struct {
	what string
	base *base
	put  func(path string) error
}

func content(file []byte) func(string) error {
	return func(path string) error { return os.WriteFile(path, file, 0o600) }
}

// listedDamages are cases that random damage would hardly find.
func listedDamages(bases []*base) (list []listed) {
	for _, b := range bases {
		for size := 0; size < len(b.file); size += 512 {
			list = append(list, listed{fmt.Sprint("cut at ", size), b, content(b.file[:size])})
		}
		for _, size := range []int{1024, 8192, 65536} {
			list = append(list, listed{fmt.Sprint("page size ", size), b, otherDatabase(&bolt.Options{PageSize: size}, true)})
		}
		list = append(list,
			listed{"a directory", b, func(path string) error { return os.MkdirAll(filepath.Join(path, "sub"), 0o700) }},
			listed{"another program's file", b, otherDatabase(nil, false)},
			listed{"no free list", b, otherDatabase(&bolt.Options{PageSize: 4096, NoFreelistSync: true}, true)},
			listed{"a later record", b, otherDatabase(&bolt.Options{PageSize: 4096}, true)},
			listed{"text", b, content([]byte("otad\n"))},
			listed{"a megabyte and more", b, content(append(bytes.Clone(b.file), make([]byte, 1<<20)...))},
		)
	}
	b := bases[0]
	for field := 0; field < 56; field += 4 {
		for _, v := range []uint32{0, 1, 2, 3, 15, 16, 17, 1 << 31, 1<<32 - 1} {
			list = append(list, listed{fmt.Sprintf("meta field at %d is %d", field, v), b, content(withMeta(b.file, field, v))})
		}
	}
	return list
}

// withMeta sets four bytes of both meta pages and corrects the checksums.
func withMeta(file []byte, field int, v uint32) []byte {
	file = bytes.Clone(file)
	for page := range 2 {
		meta := file[page*journal.PageSize+16:][:64]
		binary.NativeEndian.PutUint32(meta[field:], v)
		h := fnv.New64a()
		h.Write(meta[:56])
		binary.NativeEndian.PutUint64(meta[56:], h.Sum64())
	}
	return file
}

// otherDatabase makes a sound bbolt file, with or without the journal's
// buckets. Its record claims a later version, without that version's checksum.
func otherDatabase(o *bolt.Options, ours bool) func(string) error {
	return func(path string) error {
		db, err := bolt.Open(path, 0o600, o)
		if err != nil {
			return err
		}
		names := []string{"config", "stream"}
		if ours {
			names = []string{"checkpoint", "state.0", "state.1", "state.2", "state.3"}
		}
		err = db.Update(func(tx *bolt.Tx) error {
			for i, name := range names {
				b, err := tx.CreateBucket([]byte(name))
				if err == nil && i == 1 {
					err = b.Put([]byte("record"), []byte("\x02\x00\x00\x00\x00{}"))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		return errors.Join(err, db.Close())
	}
}

// randomDamage damages a journal in one to three ways.
func randomDamage(rng *rand.Rand, bases []*base, b *base) (string, func(string) error) {
	file, what := bytes.Clone(b.file), ""
	for range 1 + rng.IntN(3) {
		at := rng.IntN(len(file))
		if rng.IntN(4) > 0 {
			at = rng.IntN(15 * journal.PageSize) // where there is something
		}
		page := file[at/journal.PageSize*journal.PageSize:][:journal.PageSize]
		other := file[rng.IntN(15)*journal.PageSize:][:journal.PageSize]
		switch kind := rng.IntN(9); kind {
		case 0, 1:
			what += fmt.Sprintf("bit flipped in byte %d, ", at)
			file[at] ^= 1 << rng.IntN(8)
		case 2:
			what += fmt.Sprintf("16 bytes at %d, ", at)
			fill(rng, file[at:min(at+16, len(file))])
		case 3:
			what += fmt.Sprintf("page head at %d, ", at)
			fill(rng, page[:16])
		case 4: // a number in the head or the table becomes another likely one
			field := rng.IntN(30) * 4
			what += fmt.Sprintf("field %d of the page at %d, ", field, at)
			binary.NativeEndian.PutUint32(page[field:], likely(rng))
		case 5:
			what += fmt.Sprintf("page at %d zeroed, ", at)
			clear(page)
		case 6:
			what += fmt.Sprintf("page at %d swapped, ", at)
			for i := range page {
				page[i], other[i] = other[i], page[i]
			}
		case 7:
			what += fmt.Sprintf("page at %d random, ", at)
			fill(rng, page)
		case 8:
			what += fmt.Sprintf("page at %d of another journal, ", at)
			copy(page, bases[rng.IntN(len(bases))].file[at/journal.PageSize*journal.PageSize:])
		}
	}
	return what, content(file)
}

func likely(rng *rand.Rand) uint32 {
	return []uint32{0, 1, 2, uint32(rng.IntN(20)), uint32(rng.IntN(5000)), 1<<16 - 1, 1 << 31, 1<<32 - 1, rng.Uint32()}[rng.IntN(9)]
}

func fill(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}
