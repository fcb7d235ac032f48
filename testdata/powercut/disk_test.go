package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

const testBlocks = 8

// newTestDisk returns a disk full of "o", for old.
func newTestDisk() *disk {
	d := newDisk(bytes.Repeat([]byte("o"), testBlocks*blockSize))
	d.powerOn(0)
	return d
}

func mustWrite(t *testing.T, d *disk, block int, content byte, fua bool) {
	t.Helper()
	if err := d.writeAt(bytes.Repeat([]byte{content}, blockSize), int64(block)*blockSize, fua); err != nil {
		t.Fatal(err)
	}
}

func cut(d *disk, f outcome, seed uint64) {
	d.powerOff()
	d.applyOutcome(f, rand.New(rand.NewPCG(seed, 0)))
	d.powerOn(0)
}

// pieces returns one character for each sector of a block; '?' is a mixture.
func pieces(block []byte) string {
	var out []byte
	for sector := range slices.Chunk(block, sectorSize) {
		if bytes.Count(sector, sector[:1]) == len(sector) {
			out = append(out, sector[0])
		} else {
			out = append(out, '?')
		}
	}
	return string(out)
}

func (d *disk) block(t *testing.T, n int) []byte {
	t.Helper()
	p := make([]byte, blockSize)
	if err := d.readAt(p, int64(n)*blockSize); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFlushedWritesSurviveEveryCut(t *testing.T) {
	for f := range outcomes {
		d := newTestDisk()
		mustWrite(t, d, 3, 'n', false)
		if err := d.flush(); err != nil {
			t.Fatal(err)
		}
		cut(d, f, 1)
		if got := pieces(d.block(t, 3)); got != "nnnnnnnn" {
			t.Errorf("%v: %s", f, got)
		}
	}
}

func TestWritesAreVisibleBeforeTheyAreDurable(t *testing.T) {
	d := newTestDisk()
	mustWrite(t, d, 3, 'n', false)
	if got := pieces(d.block(t, 3)); got != "nnnnnnnn" {
		t.Errorf("before the cut: %s", got)
	}
	cut(d, lost, 1)
	if got := pieces(d.block(t, 3)); got != "oooooooo" {
		t.Errorf("after the cut: %s", got)
	}
}

func TestEachOutcomeLeavesEveryStateItCan(t *testing.T) {
	tests := []struct {
		outcome outcome
		want    []string // contents of the blocks 3 and 4, each written whole, in this order
	}{
		{lost, []string{"o o"}},
		{kept, []string{"n n"}},
		{prefix, []string{"o o", "n o", "n n"}},
		{subset, []string{"o o", "n o", "o n", "n n"}},
		{torn4K, []string{"o o", "n o", "o n", "n n"}},
	}
	for _, test := range tests {
		seen := make(map[string]bool)
		for seed := range uint64(200) {
			d := newTestDisk()
			mustWrite(t, d, 3, 'n', false)
			mustWrite(t, d, 4, 'n', false)
			cut(d, test.outcome, seed)
			seen[string(d.block(t, 3)[:1])+" "+string(d.block(t, 4)[:1])] = true
		}
		for _, want := range test.want {
			if !seen[want] {
				t.Errorf("%v never leaves %q", test.outcome, want)
			}
		}
		if len(seen) != len(test.want) {
			t.Errorf("%v leaves %v", test.outcome, seen)
		}
	}
}

func TestTearsFallBetweenSectors(t *testing.T) {
	torn := false
	for seed := range uint64(50) {
		d := newTestDisk()
		mustWrite(t, d, 3, 'n', false)
		cut(d, torn512, seed)
		switch got := pieces(d.block(t, 3)); {
		case bytes.ContainsRune([]byte(got), '?'):
			t.Fatalf("a sector is torn: %s", got)
		case got != "nnnnnnnn" && got != "oooooooo":
			torn = true
		}
	}
	if !torn {
		t.Error("no block was ever torn")
	}
}

func TestWhatExt4NeedsWholeIsNotTorn(t *testing.T) {
	commit := append([]byte{0xc0, 0x3b, 0x39, 0x98}, bytes.Repeat([]byte("n"), blockSize-4)...)
	for seed := range uint64(50) {
		d := newTestDisk()
		mustWrite(t, d, 0, 'n', false)
		if err := d.writeAt(commit, 5*blockSize, false); err != nil {
			t.Fatal(err)
		}
		cut(d, torn512, seed)
		if got := pieces(d.block(t, 0)); got != "nnnnnnnn" && got != "oooooooo" {
			t.Errorf("seed %d: superblock %s", seed, got)
		}
		if got := d.block(t, 5); !bytes.Equal(got, commit) && pieces(got) != "oooooooo" {
			t.Errorf("seed %d: commit block %s", seed, pieces(got))
		}
	}
}

func TestAnOlderWriteDoesNotComeBackOverAForcedOne(t *testing.T) {
	for f := range outcomes {
		d := newTestDisk()
		mustWrite(t, d, 3, 'x', false)
		mustWrite(t, d, 3, 'n', true)
		cut(d, f, 7)
		if got := pieces(d.block(t, 3)); got != "nnnnnnnn" {
			t.Errorf("%v: %s", f, got)
		}
	}
}

func TestThePowerFailsDuringThePlannedWrite(t *testing.T) {
	d := newDisk(make([]byte, testBlocks*blockSize))
	dead := d.powerOn(2)
	mustWrite(t, d, 3, 'n', false)
	select {
	case <-dead:
		t.Fatal("dead after the first write")
	default:
	}
	if err := d.writeAt([]byte("n"), 0, true); !errors.Is(err, errNoPower) {
		t.Errorf("the second write: %v", err)
	}
	<-dead
	if err := d.flush(); !errors.Is(err, errNoPower) {
		t.Errorf("flush: %v", err)
	}
	if err := d.readAt(make([]byte, 1), 0); !errors.Is(err, errNoPower) {
		t.Errorf("read: %v", err)
	}
}
