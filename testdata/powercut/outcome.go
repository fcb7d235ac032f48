package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// outcome is the effect of a power cut on the writes that no flush has covered.
// A disk may write them in any order, so every subset is possible. The extremes
// find other bugs than the mixtures.
type outcome int

const (
	lost    outcome = iota // none survives
	kept                   // all survive, as if the cache had been saved
	prefix                 // the oldest survive
	subset                 // any of them, each whole
	torn4K                 // any 4096-byte block of any of them
	torn512                // any sector of any of them: the least that a disk promises
	outcomes
)

func (f outcome) String() string {
	return [...]string{"lost", "kept", "prefix", "subset", "torn4096", "torn512"}[f]
}

// unit returns the number of bytes of w, from start on, that survive or vanish
// together.
func (f outcome) unit(w write, start int) int {
	switch {
	case f == torn512 && !wholeForExt4(w, start):
		return sectorSize
	case f == torn512 || f == torn4K:
		return blockSize
	default:
		return len(w.data)
	}
}

const (
	sectorSize = 512
	blockSize  = 4096 // of the file system; its writes are aligned to it
)

// wholeForExt4 recognizes the two kinds of blocks that ext4 assumes a cut does
// not tear: its superblock, and the administrative blocks of its journal. After
// a tear ext4 reports a wrong checksum or "journal transaction is corrupt" and
// does not mount without e2fsck. No program can prevent that, so such a tear
// would only hide bugs of otad.
func wholeForExt4(w write, start int) bool {
	const journalMagic = 0xc03b3998 // big-endian, at the start of each such block
	at, block := w.off+int64(start), w.data[start:]
	return at < blockSize || at%blockSize == 0 && len(block) >= blockSize && binary.BigEndian.Uint32(block) == journalMagic
}

// plan returns the choice for n writes. It is called for each unit of the i-th
// write in order and reports whether the unit survives.
func (f outcome) plan(rng *rand.Rand, n int) func(i int) bool {
	switch f {
	case lost:
		return func(int) bool { return false }
	case kept:
		return func(int) bool { return true }
	case prefix:
		survivors := rng.IntN(n + 1)
		return func(i int) bool { return i < survivors }
	default:
		odds := rng.Float64() // a fair coin would hardly ever show "all but one"
		return func(int) bool { return rng.Float64() < odds }
	}
}
