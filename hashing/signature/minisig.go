package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	untrustedComment = "untrusted comment: "
	trustedComment   = "trusted comment: "
)

// minisig is a parsed .minisig file. Nothing in it is verified.
type minisig struct {
	key     KeyID
	file    []byte // signature of the file
	comment string // the trusted one
	global  []byte // signature of file and comment
}

// Lines returns what is worth keeping of a .minisig file: the three lines after
// the untrusted comment. It accepts these three alone, too. The result has line
// ends of one byte and is what [Trust.Judge] takes. The error is an [*Error] with
// Missing, Malformed or Legacy; nothing is verified yet.
func Lines(text string) (string, error) {
	lines, _, err := parse(text)
	if err != nil {
		return "", err
	}
	return lines, nil
}

// parse returns the three lines of a .minisig file, and what is in them.
func parse(text string) (lines string, m minisig, err *Error) {
	if strings.TrimSpace(text) == "" {
		return "", m, refuse(Missing, "there is no signature")
	}
	if len(text) > Max {
		return "", m, refuse(Malformed, "the signature is longer than %d bytes", Max)
	}
	var rest []string
	for line := range strings.Lines(strings.TrimRight(text, "\r\n")) {
		rest = append(rest, strings.TrimRight(line, "\r\n"))
	}
	if strings.HasPrefix(rest[0], untrustedComment) {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return "", m, refuse(Malformed, "the signature ends after its untrusted comment")
	}
	raw, bad := base64.StdEncoding.Strict().DecodeString(rest[0])
	switch {
	case bad != nil || len(raw) != signatureLen:
		return "", m, refuse(Malformed, "the signature is not a .minisig file: its second line is not a signature in base64")
	case string(raw[:2]) == "Ed":
		return "", m, refuse(Legacy, "the signature is not prehashed: minisign makes it without -l, signify and usign cannot")
	case string(raw[:2]) != "ED":
		return "", m, refuse(Malformed, "the signature has an algorithm that is not minisign's")
	case len(rest) != 3:
		return "", m, refuse(Malformed, "the signature has %d lines, a .minisig file has 4", len(rest)+1)
	}
	m.key, m.file = keyID(raw[2:10]), raw[10:]
	var found bool
	if m.comment, found = strings.CutPrefix(rest[1], trustedComment); !found {
		return "", m, refuse(Malformed, "the third line of the signature is not a trusted comment")
	}
	if !utf8.ValidString(m.comment) || strings.ContainsFunc(m.comment, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
		return "", m, refuse(Malformed, "the trusted comment has bytes that are not printable text")
	}
	if m.global, bad = base64.StdEncoding.Strict().DecodeString(rest[2]); bad != nil || len(m.global) != ed25519.SignatureSize {
		return "", m, refuse(Malformed, "the fourth line of the signature is not a signature in base64")
	}
	return strings.Join(rest, "\n") + "\n", m, nil
}

// signed is what the global signature is over.
func (m minisig) signed() []byte { return append(m.file[:len(m.file):len(m.file)], m.comment...) }
