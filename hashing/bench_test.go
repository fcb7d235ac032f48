package hashing_test

import (
	"testing"

	"otad/hashing"
)

const blockSize = 1 << 20

func BenchmarkMD5(b *testing.B)          { benchmarkWrite(b, hashing.MD5) }
func BenchmarkSHA256(b *testing.B)       { benchmarkWrite(b, hashing.SHA256) }
func BenchmarkMD5AndSHA256(b *testing.B) { benchmarkWrite(b, both) }

func benchmarkWrite(b *testing.B, a hashing.Algorithms) {
	block := random(blockSize)
	d := hashing.New(a)
	b.SetBytes(blockSize)
	b.ReportAllocs()
	for b.Loop() {
		d.Write(block)
	}
}

func BenchmarkAppendState(b *testing.B) {
	d := hashing.New(both)
	d.Write(random(100))
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = d.AppendState(buf[:0])
	}
}

func BenchmarkResume(b *testing.B) {
	state := hashing.New(both).AppendState(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hashing.Resume(state); err != nil {
			b.Fatal(err)
		}
	}
}
