package signature_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"aead.dev/minisign"

	"otad/hashing/signature"
	"otad/hashing/signature/signaturetest"
)

const digest = "d4702e49d4702e49d4702e49d4702e49d4702e49d4702e49d4702e49d4702e49"

var (
	own, second, stranger = signaturetest.New(1), signaturetest.New(2), signaturetest.New(3)
	claims                = signature.Claims{Version: "1.2.3", Size: 104857600, SHA256: digest}
	comment               = signaturetest.Claims(claims.Version, claims.Size, claims.SHA256)
)

func keys(t testing.TB, text string) []signature.Key {
	t.Helper()
	list, err := signature.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// line replaces a line of a text, which are numbered from 1.
func line(text string, number int, by string) string {
	lines := strings.Split(text, "\n")
	lines[number-1] = by
	return strings.Join(lines, "\n")
}

// lineOf returns a line of a text.
func lineOf(text string, number int) string { return strings.Split(text, "\n")[number-1] }

// flip changes one bit of a line in base64.
func flip(text string, number, at int) string {
	raw, err := base64.StdEncoding.DecodeString(lineOf(text, number))
	if err != nil {
		panic(err)
	}
	raw[at] ^= 1
	return line(text, number, base64.StdEncoding.EncodeToString(raw))
}

// without returns the comment without one field, and with others after it.
func without(field string, more ...string) string {
	var kept []string
	for f := range strings.SplitSeq(comment, "\t") {
		if !strings.HasPrefix(f, field+":") {
			kept = append(kept, f)
		}
	}
	return strings.Join(append(kept, more...), "\t")
}

// TestForgedAndMixedSignatures has what an attacker can do without a trusted key:
// change, mix and cut what honest people have signed.
func TestForgedAndMixedSignatures(t *testing.T) {
	trust := signature.Trust{Keys: keys(t, own.PublicFile()+second.PublicFile()), MinVersion: "1.2.0"}
	honest, older := own.Sign(comment), own.Sign(signaturetest.Claims("1.3.0", 5, strings.Repeat("0", 64)))
	for _, c := range []struct {
		name, text string
		want       signature.Problem // empty: taken
	}{
		{"honest", honest, ""},
		{"honest, by the second key", second.Sign(comment), ""},
		{"three lines", strings.SplitAfterN(honest, "\n", 2)[1], ""},
		{"line ends of Windows", strings.ReplaceAll(honest, "\n", "\r\n"), ""},
		{"another untrusted comment", line(honest, 1, "untrusted comment: anything"), ""},
		{"fields that are not known", own.Sign(comment + "\tfor:board\tnew"), ""},
		{"nothing", " \n", signature.Missing},
		{"by a stranger", stranger.Sign(comment), signature.UnknownKey},
		{"by a stranger, with the number of a trusted key", line(stranger.Sign(comment), 2, lineOf(honest, 2)), signature.Invalid},
		{"comment forged", strings.Replace(honest, "version:1.2.3", "version:9.9.9", 1), signature.Invalid},
		{"tab for a space", strings.Replace(honest, "\t", " ", 1), signature.Invalid},
		{"the comment of another package", line(honest, 3, lineOf(older, 3)), signature.Invalid},
		{"the first signature of another package", line(line(older, 3, lineOf(honest, 3)), 4, lineOf(honest, 4)), ""},
		{"comment and end of another key's", line(line(second.Sign(comment), 2, lineOf(honest, 2)), 3, lineOf(honest, 3)), signature.Invalid},
		{"a bit of the first signature", flip(honest, 2, 70), signature.Invalid},
		{"a bit of the global signature", flip(honest, 4, 0), signature.Invalid},
		{"a bit of the last byte", flip(honest, 4, 63), signature.Invalid},
		{"a bit of the key's number", flip(honest, 2, 9), signature.UnknownKey},
		{"another trusted key's number", line(honest, 2, base64.StdEncoding.EncodeToString(append([]byte("ED\x02\x00\x00\x00\x00\x00\x00\x00"), decode(lineOf(honest, 2))[10:]...))), signature.Invalid},
		{"legacy", own.SignAs("Ed", comment), signature.Legacy},
		{"another algorithm", own.SignAs("XX", comment), signature.Malformed},
		{"a claim twice", own.Sign(comment + "\tsize:5"), signature.ClaimTwice},
		{"a claim twice, alike", own.Sign(comment + "\tversion:1.2.3"), signature.ClaimTwice},
		{"no version", own.Sign(without("version")), signature.ClaimMissing},
		{"no size", own.Sign(without("size")), signature.ClaimMissing},
		{"no SHA-256", own.Sign(without("sha256")), signature.ClaimMissing},
		{"minisign's own comment", own.Sign("timestamp:1795782265\tfile:u.zip\thashed"), signature.ClaimMissing},
		{"spaces for tabs", own.Sign(strings.ReplaceAll(comment, "\t", " ")), signature.ClaimMissing},
		{"a name in upper case", own.Sign(without("size", "Size:104857600")), signature.ClaimMissing},
		{"size with a sign", own.Sign(without("size", "size:+5")), signature.ClaimBad},
		{"size 0", own.Sign(without("size", "size:0")), signature.ClaimBad},
		{"size of a planet", own.Sign(without("size", "size:99999999999999999999")), signature.ClaimBad},
		{"SHA-256 in upper case", own.Sign(without("sha256", "sha256:"+strings.ToUpper(digest))), signature.ClaimBad},
		{"SHA-256 cut", own.Sign(without("sha256", "sha256:"+digest[1:])), signature.ClaimBad},
		{"version with a suffix", own.Sign(without("version", "version:1.2.3-rc1")), signature.ClaimBad},
		{"an older package", own.Sign(without("version", "version:1.1.99")), signature.TooOld},
		{"an older package, by the text a newer one", own.Sign(without("version", "version:1.0010.0")), ""},
		{"the public key", own.PublicFile(), signature.Malformed},
		{"a signature of signify", strings.Join(strings.Split(honest, "\n")[:2], "\n"), signature.Malformed},
		{"two signatures", honest + honest, signature.Malformed},
		{"a line more", honest + "x\n", signature.Malformed},
		{"a line less", line(honest, 4, ""), signature.Malformed},
		{"long", honest + strings.Repeat("\n", signature.Max), signature.Malformed},
		{"a control character", own.Sign(comment + "\x1b[2J"), signature.Malformed},
		{"not UTF-8", own.Sign(comment + "\xff"), signature.Malformed},
		{"base64 that is not exact", line(honest, 4, strings.TrimRight(lineOf(honest, 4), "=")), signature.Malformed},
		{"a page", "<html>404</html>\n", signature.Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := trust.Judge(c.text)
			var refused *signature.Error
			if errors.As(err, &refused); c.want == "" && err != nil || c.want != "" && (refused == nil || refused.Problem != c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && (!utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\n\x1b")) {
				t.Errorf("the error is not one printable line: %q", err)
			}
		})
	}
}

func decode(text string) []byte {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return raw
}

func TestVerdictHasTheKeyAndTheClaims(t *testing.T) {
	trust := signature.Trust{Keys: keys(t, own.PublicFile())}
	lines, err := signature.Lines(own.Sign(comment))
	if err != nil || strings.Contains(lines, "untrusted") || strings.Count(lines, "\n") != 3 {
		t.Fatalf("%q %v", lines, err)
	}
	got, err := trust.Judge(lines)
	if want := (signature.Verdict{Key: "0000000000000001", Claims: claims}); err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
}

func TestClaimsThatContradictTheJob(t *testing.T) {
	for _, c := range []struct {
		name string
		job  signature.Claims
		ok   bool
	}{
		{"the job says nothing", signature.Claims{}, true},
		{"the job says the same", claims, true},
		{"another version", signature.Claims{Version: "1.2.4"}, false},
		{"another size", signature.Claims{Size: 1}, false},
		{"another SHA-256", signature.Claims{SHA256: strings.Repeat("0", 64)}, false},
	} {
		err := claims.Contradicts(c.job)
		var refused *signature.Error
		if errors.As(err, &refused); (err == nil) != c.ok || refused != nil && refused.Problem != signature.ClaimMismatch {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestMinVersion(t *testing.T) {
	for _, c := range []struct {
		least, version string
		ok             bool
	}{
		{"", "0.0.0", true},
		{"1.2.3", "1.2.3", true},
		{"1.2.3", "1.2.10", true},
		{"1.2.3", "1.10.0", true},
		{"1.2.3", "01.2.3", true},
		{"1.2.3", "1.2.2", false},
		{"1.10.0", "1.9.99", false},
		{"2.0.0", "1.99999999999999999999999.0", false},
		{"1.0.99999999999999999999998", "1.0.99999999999999999999999", true},
	} {
		trust := signature.Trust{Keys: keys(t, own.PublicLine()), MinVersion: c.least}
		_, err := trust.Judge(own.Sign(signaturetest.Claims(c.version, 1, digest)))
		if (err == nil) != c.ok {
			t.Errorf("%s with at least %s: %v", c.version, c.least, err)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	line := own.PublicLine()
	for _, c := range []struct {
		name, text string
		keys       int
		problem    string // of the error; empty: none
	}{
		{"a .pub file", own.PublicFile(), 1, ""},
		{"the line alone", line, 1, ""},
		{"two, with a comment and line ends of Windows", "# old and new\r\n" + line + "\r\n\r\n" + second.PublicLine() + "\r\n", 2, ""},
		{"one twice", line + "\n" + own.PublicFile(), 1, ""},
		{"nothing", "# none\n", 0, "no public key in it"},
		{"a secret key of minisign", base64.StdEncoding.EncodeToString(make([]byte, 158)), 0, "line 1 is a secret key"},
		{"a secret key of signify", "untrusted comment: x\n" + base64.StdEncoding.EncodeToString(make([]byte, 104)), 0, "line 2 is a secret key"},
		{"a signature", own.Sign(comment), 0, "line 2 is a signature and not a public key"},
		{"PEM", "-----BEGIN PUBLIC KEY-----\n", 0, "line 1 is not a public key of minisign, signify or usign: not base64"},
		{"cut", line[:40], 0, "line 1 is not a public key"},
		{"another algorithm", base64.StdEncoding.EncodeToString(append([]byte("RS"), make([]byte, 40)...)), 0, "line 1 is not a public key"},
		{"two with one number", line + "\n" + base64.StdEncoding.EncodeToString(append(decode(line)[:10:10], make([]byte, 32)...)), 0, "line 2 has the number 0000000000000001 of another key"},
	} {
		list, err := signature.ParseKeys(c.text)
		if len(list) != c.keys || (err == nil) != (c.problem == "") || err != nil && !strings.HasPrefix(err.Error(), c.problem) {
			t.Errorf("%s: %d keys, %v; want %d, %q", c.name, len(list), err, c.keys, c.problem)
		}
	}
}

func TestManyKeysAreRefused(t *testing.T) {
	var text strings.Builder
	for n := range uint64(signature.MaxKeys + 1) {
		text.WriteString(signaturetest.New(n+1).PublicLine() + "\n")
	}
	if _, err := signature.ParseKeys(text.String()); err == nil {
		t.Error("taken")
	}
}

// A peer that shares no code with this package makes keys and signatures.
func TestPeerAgrees(t *testing.T) {
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	trust := signature.Trust{Keys: keys(t, string(text))}
	reader := minisign.NewReader(bytes.NewReader([]byte("the package")))
	if _, err := io.Copy(io.Discard, reader); err != nil {
		t.Fatal(err)
	}
	file := reader.SignWithComments(private, comment, "anything")
	got, err := trust.Judge(string(file))
	if err != nil || got.Claims != claims || !strings.Contains(string(text), strings.TrimLeft(string(got.Key), "0")) {
		t.Errorf("%+v %v, the key is %s", got, err, text)
	}
	if _, err := trust.Judge(string(minisign.SignWithComments(private, []byte("the package"), comment, "x"))); err == nil ||
		!strings.Contains(err.Error(), "not prehashed") {
		t.Errorf("a legacy signature: %v", err)
	}
}

// FuzzJudge: what is taken is what the key has signed, whatever stands around it,
// and what Lines returns is judged in the same way.
func FuzzJudge(f *testing.F) {
	honest := own.Sign(comment)
	for _, seed := range []string{honest, own.SignAs("Ed", comment), flip(honest, 4, 1), line(honest, 4, ""),
		strings.ReplaceAll(honest, "\n", "\r\n"), own.Sign(comment + "\tsize:1"), "untrusted comment: \n", "\r"} {
		f.Add(seed)
	}
	trust := signature.Trust{Keys: keys(f, own.PublicFile())}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := trust.Judge(text)
		if err == nil && got.Claims != claims {
			t.Errorf("%+v", got)
		}
		if err != nil && !errors.As(err, new(*signature.Error)) {
			t.Errorf("%T", err)
		}
		lines, bad := signature.Lines(text)
		if bad != nil {
			if err == nil {
				t.Errorf("judged and not parsed: %v", bad)
			}
			return
		}
		again, err2 := trust.Judge(lines)
		if again != got || (err == nil) != (err2 == nil) {
			t.Errorf("%+v %v, and of the lines %+v %v", got, err, again, err2)
		}
	})
}

// FuzzParseKeys: no text gives keys that another reading of them does not.
func FuzzParseKeys(f *testing.F) {
	f.Add(own.PublicFile() + second.PublicFile())
	f.Add("# x\n\n" + own.PublicLine())
	f.Add(own.PublicLine() + "\n" + own.Sign(comment))
	f.Fuzz(func(t *testing.T, text string) {
		list, err := signature.ParseKeys(text)
		if (len(list) == 0) != (err != nil) {
			t.Fatalf("%d keys and %v", len(list), err)
		}
		if joined, err := signature.Join(list, list); err != nil || len(joined) != len(list) {
			t.Errorf("%d keys, joined with themselves %d: %v", len(list), len(joined), err)
		}
	})
}
