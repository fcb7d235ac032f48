package origintest_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"otad/netio/origintest"
)

func TestObjectReadAtAnyOffset(t *testing.T) {
	o := origintest.Object{Size: 1003, Seed: 7}
	whole := []byte(part(o, 0, 1003))
	if err := iotest.TestReader(io.NewSectionReader(o, 0, o.Len()), whole); err != nil {
		t.Error(err)
	}
	for start := range int64(20) {
		for end := start; end < 40; end++ {
			if got := part(o, start, end); got != string(whole[start:end]) {
				t.Fatalf("bytes %d to %d differ from those of one read", start, end)
			}
		}
	}
}

func TestObjectEndsAtItsSize(t *testing.T) {
	for name, o := range map[string]origintest.Object{
		"generated": {Size: 10, Seed: 1},
		"given":     {Bytes: []byte("0123456789"), Size: 99},
	} {
		if n, err := o.ReadAt(make([]byte, 8), 5); n != 5 || err != io.EOF {
			t.Errorf("%s: read across the end: %d, %v; want 5, EOF", name, n, err)
		}
		if n, err := o.ReadAt(make([]byte, 1), 10); n != 0 || err != io.EOF {
			t.Errorf("%s: read at the end: %d, %v; want 0, EOF", name, n, err)
		}
		if _, err := o.ReadAt(make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: read before the start: %v, want an error", name, err)
		}
	}
}

func TestObjectDigests(t *testing.T) {
	o := origintest.Object{Size: 100_001, Seed: 3}
	content := []byte(part(o, 0, o.Size))
	m, s := md5.Sum(content), sha256.Sum256(content)
	if got, want := o.MD5(), hex.EncodeToString(m[:]); got != want {
		t.Errorf("MD5 %s, want %s", got, want)
	}
	if got, want := o.SHA256(), hex.EncodeToString(s[:]); got != want {
		t.Errorf("SHA256 %s, want %s", got, want)
	}
}

func TestSeedsGiveDifferentContents(t *testing.T) {
	zero := part(origintest.Object{Size: 4096}, 0, 4096)
	one := part(origintest.Object{Size: 4096, Seed: 1}, 0, 4096)
	for i := 0; i+16 <= len(zero); i++ {
		if strings.Contains(one, zero[i:i+16]) {
			t.Fatalf("16 bytes at %d of one content are in the other", i)
		}
	}
}
