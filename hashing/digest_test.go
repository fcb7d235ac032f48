package hashing_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"otad/hashing"
)

const (
	emptyMD5    = "d41d8cd98f00b204e9800998ecf8427e"
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	abcMD5      = "900150983cd24fb0d6963f7d28e17f72" // RFC 1321, appendix A.5
	abcSHA256   = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
)

func TestDigestOfKnownMessages(t *testing.T) {
	tests := []struct {
		name        string
		algorithms  hashing.Algorithms
		message     string
		md5, sha256 string
	}{
		{"nothing, MD5", hashing.MD5, "", emptyMD5, ""},
		{"nothing, SHA-256", hashing.SHA256, "", "", emptySHA256},
		{"nothing, both", hashing.MD5 | hashing.SHA256, "", emptyMD5, emptySHA256},
		{"abc, MD5", hashing.MD5, "abc", abcMD5, ""},
		{"abc, SHA-256", hashing.SHA256, "abc", "", abcSHA256},
		{"abc, both", hashing.MD5 | hashing.SHA256, "abc", abcMD5, abcSHA256},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := hashing.New(tt.algorithms)
			d.Write([]byte(tt.message))
			wantSums(t, d, tt.md5, tt.sha256)
			if d.Algorithms() != tt.algorithms || d.Len() != int64(len(tt.message)) {
				t.Errorf("algorithms %b of %d bytes, want %b of %d",
					d.Algorithms(), d.Len(), tt.algorithms, len(tt.message))
			}
		})
	}
}

func TestSumsInTheMiddleOfTheStream(t *testing.T) {
	d := hashing.New(hashing.MD5 | hashing.SHA256)
	d.Write([]byte("ab"))
	d.MD5()
	d.SHA256()
	d.Write([]byte("c"))
	wantSums(t, d, abcMD5, abcSHA256)
}

func TestWriteTakesBlocksOfAnySize(t *testing.T) {
	for _, size := range []int{1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 100_000} {
		message := random(size)
		d := hashing.New(hashing.MD5 | hashing.SHA256)
		if n, err := d.Write(message); n != size || err != nil {
			t.Errorf("Write of %d bytes = %d, %v", size, n, err)
		}
		sumMD5, sumSHA256 := oneShot(message)
		wantSums(t, d, sumMD5, sumSHA256)
	}
}

func TestNewPanicsWithoutAKnownAlgorithm(t *testing.T) {
	for _, a := range []hashing.Algorithms{0, 4, hashing.MD5 | 8} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%d) returned", a)
				}
			}()
			hashing.New(a)
		}()
	}
}

// TestWorksInFIPS140OnlyMode runs the tests above once more in a process where
// the standard library's MD5 refuses to work.
func TestWorksInFIPS140OnlyMode(t *testing.T) {
	if strings.Contains(os.Getenv("GODEBUG"), "fips140=") {
		t.Skip("already inside")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^Test(Digest|Sums|Resume)", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestDigestOfKnownMessages") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func wantSums(t *testing.T, d *hashing.Digest, sumMD5, sumSHA256 string) {
	t.Helper()
	if got := d.MD5(); got != sumMD5 {
		t.Errorf("MD5 %q, want %q", got, sumMD5)
	}
	if got := d.SHA256(); got != sumSHA256 {
		t.Errorf("SHA-256 %q, want %q", got, sumSHA256)
	}
}

// oneShot hashes without package hashing.
func oneShot(message []byte) (sumMD5, sumSHA256 string) {
	m, s := md5.Sum(message), sha256.Sum256(message)
	return hex.EncodeToString(m[:]), hex.EncodeToString(s[:])
}

func random(n int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}
