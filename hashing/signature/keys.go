package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxKeys is how many keys may be trusted at a time.
const MaxKeys = 64

// KeyID is the number of a key as minisign prints it, but always with 16
// hexadecimal digits, in upper case: minisign leaves zeros at the front out. It
// chooses the key and proves nothing.
type KeyID string

// Key is a public key.
type Key struct {
	ID     KeyID
	public ed25519.PublicKey
}

// The lengths in bytes of what minisign and signify write in base64.
const (
	publicLen    = 2 + 8 + ed25519.PublicKeySize
	signatureLen = 2 + 8 + ed25519.SignatureSize
	signifySec   = 104 // secret key of signify
	minisignSec  = 158 // secret key of minisign
)

// ParseKeys returns the public keys in a text: one a line, in base64, as minisign
// (-p), signify (-p) and usign (-p) write them. Comment lines (untrusted comment:
// or #) and blank lines are skipped. The error names the line and shows no part
// of it, which may be of a secret key.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || strings.HasPrefix(line, untrustedComment) {
			continue
		}
		k, err := parseKey(line)
		if err == nil {
			keys, err = appendKey(keys, k)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d %w", number, err)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key in it")
	}
	return keys, nil
}

func parseKey(line string) (Key, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(line)
	switch {
	case err != nil:
		return Key{}, errors.New("is not a public key of minisign, signify or usign: not base64")
	case len(raw) == minisignSec || len(raw) == signifySec:
		return Key{}, errors.New("is a secret key: a board needs the public key alone")
	case len(raw) == signatureLen:
		return Key{}, errors.New("is a signature and not a public key")
	case len(raw) != publicLen || string(raw[:2]) != "Ed":
		return Key{}, errors.New("is not a public key of minisign, signify or usign")
	}
	return Key{keyID(raw[2:10]), ed25519.PublicKey(raw[10:])}, nil
}

// appendKey adds k unless it is there. Two keys with one number would make the
// number useless.
func appendKey(keys []Key, k Key) ([]Key, error) {
	i := slices.IndexFunc(keys, func(o Key) bool { return o.ID == k.ID })
	switch {
	case i < 0 && len(keys) == MaxKeys:
		return nil, fmt.Errorf("is one key too many: at most %d", MaxKeys)
	case i < 0:
		return append(keys, k), nil
	case !bytes.Equal(keys[i].public, k.public):
		return nil, fmt.Errorf("has the number %s of another key", k.ID)
	}
	return keys, nil
}

// Join returns the keys of several files. The error names a key, and is nil for
// one that is there twice.
func Join(lists ...[]Key) (all []Key, err error) {
	for _, k := range slices.Concat(lists...) {
		if all, err = appendKey(all, k); err != nil {
			return nil, fmt.Errorf("the key %s %w", k.ID, err)
		}
	}
	return all, nil
}

func keyID(raw []byte) KeyID {
	return KeyID(fmt.Sprintf("%016X", binary.LittleEndian.Uint64(raw)))
}
