package signature

import (
	"crypto/ed25519"
	"slices"
	"strings"
)

// Trust is which packages a board takes. The zero value is that of a board that
// asks for no signatures. It does not change: another one takes its place.
type Trust struct {
	Keys       []Key  // one of them must have signed; none: no signature is needed
	MinVersion string // older packages are refused; empty: none is
}

// Required reports whether a package needs a signature.
func (t Trust) Required() bool { return len(t.Keys) > 0 }

// Verdict is who signed a package and what was said of it.
type Verdict struct {
	Key KeyID
	Claims
}

// Judge returns what a signature (see [Lines]) says, if it is one by a trusted
// key. The error is an [*Error].
func (t Trust) Judge(text string) (Verdict, error) {
	_, m, err := parse(text)
	if err != nil {
		return Verdict{}, err
	}
	i := slices.IndexFunc(t.Keys, func(k Key) bool { return k.ID == m.key })
	if i < 0 {
		return Verdict{}, refuse(UnknownKey, "the signature is by the key %s, trusted is %s", m.key, t.names())
	}
	if !ed25519.Verify(t.Keys[i].public, m.signed(), m.global) {
		return Verdict{}, refuse(Invalid, "the signature is not by the key %s, or not of this trusted comment", m.key)
	}
	claims, err := parseClaims(m.comment)
	if err != nil {
		return Verdict{}, err
	}
	if t.MinVersion != "" && isOlder(claims.Version, t.MinVersion) {
		return Verdict{}, refuse(TooOld, "version %s is older than %s, the lowest that this board takes", claims.Version, t.MinVersion)
	}
	return Verdict{m.key, claims}, nil
}

// names returns the numbers of the trusted keys for an error text.
func (t Trust) names() string {
	const most = 4
	var names []string
	for _, k := range t.Keys[:min(most, len(t.Keys))] {
		names = append(names, string(k.ID))
	}
	if len(t.Keys) > most {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}
