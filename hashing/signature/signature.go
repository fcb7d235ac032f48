// Package signature checks who made a package, before its first byte is fetched.
//
// The signature is the ordinary .minisig file of a package: prehashed, as
// minisign makes it since 0.11 without -l and 0.8 with -H. Its trusted comment
// has the version, the size and the SHA-256 of the package as fields (see
// [Claims]).
//
// Only the second signature in the file is verified, which minisign calls the
// global one: Ed25519 (RFC 8032) over the first signature and the trusted
// comment. That is enough. The signed comment names the package by its SHA-256,
// and otad compares the SHA-256 of the bytes that it has stored with it before
// the package is Ready. The first signature is over the BLAKE2b-512 of the whole
// file: it proves the same once more, for a second digest over every byte.
//
// The formats are those of https://jedisct1.github.io/minisign/ and signify(1).
// All functions may be called from any goroutine.
package signature

import (
	"fmt"
	"slices"
)

// Max is the longest .minisig file in bytes. minisign 0.11 writes trusted
// comments of about 4,000 bytes at most.
const Max = 4 << 10

// Problem is what is wrong with a signature, in one word. The set is closed, see
// [Problems].
type Problem string

// The problems.
const (
	Missing       Problem = "missing"        // there is none
	Malformed     Problem = "malformed"      // not a .minisig file
	Legacy        Problem = "legacy"         // not prehashed: made by minisign -l, signify or usign
	UnknownKey    Problem = "unknown_key"    // made with a key that is not trusted
	Invalid       Problem = "invalid"        // made with another key, or for another comment
	ClaimTwice    Problem = "claim_twice"    // the comment has a claim twice
	ClaimMissing  Problem = "claim_missing"  // the comment does not have a claim
	ClaimBad      Problem = "claim_bad"      // a claim that cannot be one
	ClaimMismatch Problem = "claim_mismatch" // the job says something else
	TooOld        Problem = "too_old"        // below the lowest version that is allowed
)

// problems is the order of the checks.
var problems = [...]Problem{Missing, Malformed, Legacy, UnknownKey, Invalid, ClaimTwice, ClaimMissing, ClaimBad, ClaimMismatch, TooOld}

// Problems returns all problems, in a slice that belongs to the caller.
func Problems() []Problem { return slices.Clone(problems[:]) }

// Error is why a signature is refused.
type Error struct {
	Problem Problem
	Detail  string // one line for a person, in printable ASCII
}

// Error returns Detail.
func (e *Error) Error() string { return e.Detail }

func refuse(p Problem, format string, args ...any) *Error {
	return &Error{p, fmt.Sprintf(format, args...)}
}
