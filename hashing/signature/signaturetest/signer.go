// Package signaturetest signs packages in tests, in the format of minisign.
package signaturetest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// Signer is a key pair of a test. The same number gives the same pair.
type Signer struct {
	ID     uint64
	secret ed25519.PrivateKey
}

// New returns the key pair of that number.
func New(id uint64) Signer {
	return Signer{id, ed25519.NewKeyFromSeed(bytes.Repeat(binary.LittleEndian.AppendUint64(nil, id), 4))}
}

// KeyID returns the number as minisign prints it.
func (s Signer) KeyID() string { return fmt.Sprintf("%016X", s.ID) }

// PublicLine returns the public key in base64, as in a .pub file's second line.
func (s Signer) PublicLine() string {
	raw := append([]byte("Ed"), binary.LittleEndian.AppendUint64(nil, s.ID)...)
	return base64.StdEncoding.EncodeToString(append(raw, s.secret.Public().(ed25519.PublicKey)...))
}

// PublicFile returns the .pub file.
func (s Signer) PublicFile() string {
	return "untrusted comment: minisign public key " + s.KeyID() + "\n" + s.PublicLine() + "\n"
}

// Claims returns a trusted comment with the claims that otad needs.
func Claims(version string, size int64, sha256 string) string {
	return fmt.Sprintf("timestamp:1795782265\tfile:u.bin\thashed\tversion:%s\tsize:%d\tsha256:%s", version, size, sha256)
}

// Sign returns a .minisig file with the trusted comment. Its first signature is
// of nothing: otad does not look at it.
func (s Signer) Sign(comment string) string { return s.SignAs("ED", comment) }

// SignAs is Sign with that algorithm: ED, or Ed for a legacy signature.
func (s Signer) SignAs(algorithm, comment string) string {
	file := ed25519.Sign(s.secret, make([]byte, 64))
	global := ed25519.Sign(s.secret, append(file[:len(file):len(file)], comment...))
	head := append([]byte(algorithm), binary.LittleEndian.AppendUint64(nil, s.ID)...)
	return fmt.Sprintf("untrusted comment: signature from a test\n%s\ntrusted comment: %s\n%s\n",
		base64.StdEncoding.EncodeToString(append(head, file...)), comment, base64.StdEncoding.EncodeToString(global))
}
