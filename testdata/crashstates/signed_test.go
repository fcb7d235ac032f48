package crashstates

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/fsm"
	"otad/hashing/signature"
	"otad/hashing/signature/signaturetest"
)

// TestCutAtEveryWriteOfASignedDownload has a signature fetched, the key taken
// away when the package is Ready, and given back. No cut loses the signature's
// word, a byte, or that the package was Ready.
func TestCutAtEveryWriteOfASignedDownload(t *testing.T) {
	signer, stranger := signaturetest.New(1), signaturetest.New(2)
	trusted := func(s signaturetest.Signer) []string {
		path := filepath.Join(t.TempDir(), "key.pub")
		if err := os.WriteFile(path, []byte(s.PublicFile()), 0o644); err != nil {
			t.Fatal(err)
		}
		return []string{"-trusted-key", path}
	}
	keys, err := signature.ParseKeys(signer.PublicFile())
	if err != nil {
		t.Fatal(err)
	}
	job, killed := NewJob("a.bin", slowSize), NewJob("a.bin", slowSize)
	for _, j := range []*Job{job, killed} {
		j.Minisig = signer.Sign(signaturetest.Claims("1.2.3", slowSize, fmt.Sprintf("%x", sha256.Sum256(j.object.Bytes))))
	}
	runs := record(t,
		Scenario{Name: "signed, the key is taken away and given back", Steps: []Step{
			{Job: job, More: trusted(signer)}, {Job: job, More: trusted(stranger), Exit: 3}, {Job: job, More: trusted(signer)}}},
		Scenario{Name: "killed when the signature is in the journal", Steps: []Step{
			{Job: killed, More: trusted(signer), Kill: &Point{Datasync, "a.bin.otad-part", 1}}, {Job: killed, More: trusted(signer)}}})
	if n := runs[0].Log.count(func(o Op) bool {
		return o.Kind == Print && strings.Contains(string(o.Data), string(fsm.SignatureInvalid))
	}); n == 0 {
		t.Error("nothing was refused")
	}
	e := NewEnumerator(*seed)
	e.Add(runs...)
	results := (&Rig{Trust: &signature.Trust{Keys: keys}}).try(t, e.Crashes, 0)
	t.Log(results)
	results.report(t)
}
