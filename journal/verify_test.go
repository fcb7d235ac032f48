package journal_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"otad/journal"
)

// TestVerifyRefuses changes one number at a time and checks that the error
// names it. Random damage is in damage_test.go.
func TestVerifyRefuses(t *testing.T) {
	order := binary.NativeEndian
	tests := []struct {
		name   string
		damage func(f sound)
		want   string
	}{
		{"another page size", func(f sound) { f.meta(8, 8192) }, "page size 8192"},
		{"a later version", func(f sound) { f.meta(4, 3) }, "no valid meta page"},
		{"another program's magic", func(f sound) { f.meta(0, 1) }, "no valid meta page"},
		{"more pages than the file has", func(f sound) { f.meta(40, 17) }, "17 pages in use, the file has 16"},
		{"no pages at all", func(f sound) { f.meta(40, 0) }, "0 pages in use"},
		{"a meta page as root", func(f sound) { f.meta(16, 1) }, "page 1 is not one of"},
		{"a root that is not in use", func(f sound) { f.meta(16, 15) }, "page 15 is not one of"},
		{"the free list as root", func(f sound) { f.meta(16, uint32(f.freelist)) }, "type 0x10"},
		{"the root as free list", func(f sound) { f.meta(32, uint32(f.root)) }, "is used twice"},
		{"meta pages in each other's place", func(f sound) {
			first := bytes.Clone(f.page(0))
			copy(f.page(0), f.page(1))
			copy(f.page(1), first)
		}, "belongs elsewhere"},
		{"a meta page where a smaller page size has it", func(f sound) {
			copy(f.page(0)[1024:1104], f.page(0)[:80])
			clear(f.page(0)[:80])
		}, "meta page at 1024 belongs elsewhere"},
		{"a page with the number of another", func(f sound) { order.PutUint64(f.page(f.root), 9) }, "has number 9"},
		{"a branch page", func(f sound) { order.PutUint16(f.page(f.root)[8:], 1) }, "type 0x1"},
		{"a page of two pages", func(f sound) { order.PutUint32(f.page(f.root)[12:], 1) }, "overflow 1"},
		{"more keys than a page holds", func(f sound) { order.PutUint16(f.page(f.root)[10:], 256) }, "256 keys in 4096 bytes"},
		{"a bucket less", func(f sound) { order.PutUint16(f.page(f.root)[10:], 4) }, "4 buckets"},
		{"a bucket that is a value", func(f sound) { order.PutUint32(f.page(f.root)[16:], 0) }, "key 0 of 5 is not sound"},
		{"a key inside the table", func(f sound) { order.PutUint32(f.page(f.root)[20:], 16) }, "key 0 of 5 is not sound"},
		{"an empty key", func(f sound) { order.PutUint32(f.page(f.root)[24:], 0) }, "key 0 of 5 is not sound"},
		{"a key beyond the page", func(f sound) { order.PutUint32(f.page(f.root)[20:], 1<<32-1) }, "key 0 of 5 is not sound"},
		{"a value beyond the page", func(f sound) { order.PutUint32(f.page(f.root)[28:], 4096) }, "key 0 of 5 is not sound"},
		{"a value too short for a bucket", func(f sound) { order.PutUint32(f.page(f.root)[28:], 15) }, "header of 15 bytes"},
		{"a bucket too short for its page", func(f sound) { order.PutUint32(f.page(f.root)[28:], 31) }, "page of 15 bytes"},
		{"two buckets of one name", func(f sound) { f.rename("state.3", "state.2") }, "out of order"},
		{"a bucket of another name", func(f sound) { f.rename("state.3", "state.4") }, "not one of a journal"},
		{"a key of another name", func(f sound) { f.rename("record", "recorf") }, `key "recorf"`},
		{"a page that is used and free", func(f sound) { order.PutUint64(f.page(f.freelist)[16:], f.root) }, "is used twice"},
		{"a page that is free twice", func(f sound) {
			copy(f.page(f.freelist)[24:32], f.page(f.freelist)[16:24])
		}, "is used twice"},
		{"a meta page that is free", func(f sound) { order.PutUint64(f.page(f.freelist)[16:], 1) }, "page 1 is not one of"},
		{"a page that is lost", func(f sound) {
			order.PutUint16(f.page(f.freelist)[10:], order.Uint16(f.page(f.freelist)[10:])-1)
		}, "neither used nor free"},
		{"a free list longer than its page", func(f sound) { order.PutUint16(f.page(f.freelist)[10:], 511) }, "free list of 511 pages"},
	}
	good := soundJournal(t)
	if err := journal.Verify(good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := soundFile(bytes.Clone(good))
			tt.damage(f)
			if err := journal.Verify(f.file); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestVerifyAcceptsADamagedOlderMetaPage(t *testing.T) {
	f := soundFile(soundJournal(t))
	clear(f.page(f.older))
	if err := journal.Verify(f.file); err != nil {
		t.Error(err)
	}
}

// FuzzVerify patches a sound file and corrects the checksums of the meta pages.
// Whatever the result, verify must not panic.
func FuzzVerify(f *testing.F) {
	dir := f.TempDir()
	j := mustOpen(f, dir)
	mustUpdate(f, j, func(r *journal.Record) { *r = fullRecord() })
	mustCommit(f, j, checkpointAt(1))
	j.Close()
	good := readFile(f, dir)
	f.Add(uint16(16), []byte{1})
	f.Add(uint16(4096+16), bytes.Repeat([]byte{0xff}, 56))
	f.Add(uint16(soundFile(good).root*journal.PageSize), bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, at uint16, patch []byte) {
		file := bytes.Clone(good)
		copy(file[at:], patch)
		_ = journal.Verify(withMeta(file, 0, binary.NativeEndian.Uint32(file[16:])))
	})
}

// sound is a journal file and its important pages.
type sound struct {
	file           []byte
	older          uint64 // meta page
	root, freelist uint64
}

func soundFile(file []byte) sound {
	f := sound{file: file}
	txid := func(page uint64) uint64 { return binary.NativeEndian.Uint64(f.page(page)[16+48:]) }
	newer := uint64(0)
	if txid(1) > txid(0) {
		newer = 1
	}
	f.older = 1 - newer
	f.root = binary.NativeEndian.Uint64(f.page(newer)[16+16:])
	f.freelist = binary.NativeEndian.Uint64(f.page(newer)[16+32:])
	return f
}

func (f sound) page(id uint64) []byte { return f.file[id*journal.PageSize:][:journal.PageSize] }

func (f sound) meta(field int, v uint32) { copy(f.file, withMeta(f.file, field, v)) }

func (f sound) rename(old, name string) {
	copy(f.page(f.root), bytes.Replace(f.page(f.root), []byte(old), []byte(name), 1))
}
