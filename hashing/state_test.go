package hashing_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"otad/hashing"
)

const both = hashing.MD5 | hashing.SHA256

func TestResumeContinuesWhereTheStateWasSaved(t *testing.T) {
	message := random(300)
	for _, a := range []hashing.Algorithms{hashing.MD5, hashing.SHA256, both} {
		whole := hashing.New(a)
		whole.Write(message)
		for at := range message {
			d := hashing.New(a)
			d.Write(message[:at])
			resumed := mustResume(t, d.AppendState(nil))
			if resumed.Len() != int64(at) || resumed.Algorithms() != a {
				t.Fatalf("resumed %b at %d, want %b at %d", resumed.Algorithms(), resumed.Len(), a, at)
			}
			resumed.Write(message[at:])
			wantSums(t, resumed, whole.MD5(), whole.SHA256())
		}
	}
}

func TestAppendStateKeepsWhatIsInFront(t *testing.T) {
	d := hashing.New(both)
	state := d.AppendState([]byte("front"))
	if !bytes.HasPrefix(state, []byte("front")) {
		t.Fatalf("state begins with %q", state[:5])
	}
	mustResume(t, state[5:])
}

func TestAppendStateFitsTheDocumentedSize(t *testing.T) {
	for a, want := range map[hashing.Algorithms]int{hashing.MD5: 104, both: 214} {
		if got := len(hashing.New(a).AppendState(nil)); got != want {
			t.Errorf("state of %b takes %d bytes, want %d", a, got, want)
		}
	}
}

func TestAppendStateAllocatesNothing(t *testing.T) {
	d := hashing.New(both)
	d.Write(random(1000))
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { buf = d.AppendState(buf[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestResumeReadsStatesOfOlderVersions fails when a change of this package, or
// of the standard library, would make every board hash its download again.
// The file is written once for a version of the layout and never again.
func TestResumeReadsStatesOfOlderVersions(t *testing.T) {
	frozen, err := os.ReadFile(filepath.Join("testdata", "state-v1"))
	if err != nil {
		t.Fatal(err)
	}
	message := bytes.Repeat([]byte("otad "), 100)
	d := mustResume(t, frozen)
	if d.Len() != 333 {
		t.Fatalf("state of %d bytes, want 333", d.Len())
	}
	d.Write(message[333:])
	wantSums(t, d, "591b1bfe2d19038cf4eb8ac0ded6ed5b", "a19eb37bd649dfe8cf9e517eda1a6dd4d05868221e7a68db6992de2c0789da10")

	d = hashing.New(both)
	d.Write(message[:333])
	if got := d.AppendState(nil); !bytes.Equal(got, frozen) {
		t.Errorf("state is now\n%x, was\n%x", got, frozen)
	}
}

func TestResumeRefuses(t *testing.T) {
	d := hashing.New(both)
	d.Write(random(100))
	good := d.AppendState(nil)
	const md5Starts, md5Ends = 10 + 2, 10 + 2 + 92

	tests := []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"nothing", func(b []byte) []byte { return nil }},
		{"half a header", func(b []byte) []byte { return b[:9] }},
		{"a header alone", func(b []byte) []byte { return b[:10] }},
		{"a state cut short", func(b []byte) []byte { return b[:len(b)-1] }},
		{"surplus bytes", func(b []byte) []byte { return append(b, 0) }},
		{"a later version", func(b []byte) []byte { b[0]++; return b }},
		{"no algorithm", func(b []byte) []byte { b[1] = 0; return b }},
		{"an unknown algorithm", func(b []byte) []byte { b[1] |= 4; return b }},
		{"fewer algorithms than states", func(b []byte) []byte { b[1] = byte(hashing.MD5); return b }},
		{"states in the wrong order", func(b []byte) []byte {
			return append(append(b[:10:10], b[md5Ends:]...), b[10:md5Ends]...)
		}},
		{"another length", func(b []byte) []byte { b[9]++; return b }},
		{"a negative length", func(b []byte) []byte { b[2] |= 0x80; b[md5Ends-8] |= 0x80; b[len(b)-8] |= 0x80; return b }},
		{"another length in one state", func(b []byte) []byte { b[md5Ends-1]++; return b }},
		{"a wrong size of a state", func(b []byte) []byte { b[11]++; return b }},
		{"an unknown hash", func(b []byte) []byte { b[md5Starts]++; return b }},
		{"padding that is not zero", func(b []byte) []byte { b[md5Ends-9]++; return b }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := hashing.Resume(tt.damage(bytes.Clone(good)))
			if !errors.Is(err, hashing.ErrState) {
				t.Errorf("Resume = %v, want ErrState", err)
			}
		})
	}
	mustResume(t, good)
}

// FuzzSplit writes a message in pieces, saving and restoring the digest
// between them, and compares with hashing it at once.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("abc"), []byte{1}, byte(both))
	f.Add(random(1000), []byte{63, 1, 64, 65, 0, 200}, byte(hashing.MD5))
	f.Add(random(200), []byte{128, 8}, byte(hashing.SHA256))
	f.Fuzz(func(t *testing.T, message, pieces []byte, algorithms byte) {
		a := hashing.Algorithms(algorithms%3 + 1)
		d, rest := hashing.New(a), message
		for _, piece := range pieces {
			n := min(int(piece), len(rest))
			d.Write(rest[:n])
			rest = rest[n:]
			d = mustResume(t, d.AppendState(nil))
		}
		d.Write(rest)
		sumMD5, sumSHA256 := oneShot(message)
		if a&hashing.MD5 == 0 {
			sumMD5 = ""
		}
		if a&hashing.SHA256 == 0 {
			sumSHA256 = ""
		}
		wantSums(t, d, sumMD5, sumSHA256)
	})
}

// FuzzResume resumes from arbitrary bytes: a state that is accepted must be
// saved as the same bytes.
func FuzzResume(f *testing.F) {
	d := hashing.New(both)
	d.Write(random(100))
	f.Add(d.AppendState(nil))
	f.Add(hashing.New(hashing.MD5).AppendState(nil))
	f.Fuzz(func(t *testing.T, state []byte) {
		d, err := hashing.Resume(state)
		if err != nil {
			return
		}
		if got := d.AppendState(nil); !bytes.Equal(got, state) {
			t.Errorf("resumed from %x, saved %x", state, got)
		}
		if got := int64(binary.BigEndian.Uint64(state[2:])); d.Len() != got {
			t.Errorf("Len %d, want %d", d.Len(), got)
		}
		d.Write([]byte("more"))
		d.MD5()
		d.SHA256()
	})
}

func mustResume(t *testing.T, state []byte) *hashing.Digest {
	t.Helper()
	d, err := hashing.Resume(state)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
