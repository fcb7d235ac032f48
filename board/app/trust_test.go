package app_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/fsm"
	"otad/hashing/signature/signaturetest"
	"otad/netio/origintest"
)

var signer = signaturetest.New(0xA1)

// written writes a file of the test and returns its path.
func written(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each is found by check-config, and keeps serve and fetch from starting.
func TestFilesOfTrustThatCannotBeUsed(t *testing.T) {
	key := func(t *testing.T) string { return written(t, "a.pub", signer.PublicFile(), 0o644) }
	for _, tt := range []struct {
		name string
		args func(t *testing.T) []string
		want string
	}{
		{"no file", func(*testing.T) []string { return []string{"-trusted-key", "/nowhere/a.pub"} }, "-trusted-key: open /nowhere/a.pub: no such file"},
		{"a directory", func(t *testing.T) []string { return []string{"-trusted-key", t.TempDir()} }, "is not a regular file"},
		{"a file that everybody can change", func(t *testing.T) []string {
			return []string{"-trusted-key", written(t, "a.pub", signer.PublicFile(), 0o666)}
		}, "chmod o-w the file"},
		{"no key", func(t *testing.T) []string { return []string{"-trusted-key", written(t, "a.pub", "hello\n", 0o644)} }, "a.pub: line 1 is not a public key"},
		{"a signature", func(t *testing.T) []string {
			return []string{"-trusted-key", written(t, "a.pub", signer.Sign("x"), 0o644)}
		}, "a.pub: line 2 is a signature and not a public key"},
		{"a long file", func(t *testing.T) []string {
			return []string{"-trusted-key", written(t, "a.pub", strings.Repeat("#\n", 40<<10), 0o644)}
		}, "is longer than 64 KiB"},
		{"no version in the file", func(t *testing.T) []string {
			return []string{"-trusted-key", key(t), "-min-version", "@" + written(t, "v", "otad 1.2\n", 0o644)}
		}, "holds a version that is not three numbers"},
		{"no file of the version", func(t *testing.T) []string {
			return []string{"-trusted-key", key(t), "-min-version", "@/nowhere/v"}
		}, "-min-version: open /nowhere/v: no such file"},
	} {
		for _, command := range [][]string{{"check-config"}, {"serve", "-listen", "127.0.0.1:0"}, {"fetch", "-md5", object.MD5(), "http://127.0.0.1:1/u.bin"}} {
			t.Run(tt.name+", "+command[0], func(t *testing.T) {
				dir := t.TempDir()
				args := append(command, tt.args(t)...)
				if command[0] == "check-config" {
					args = append(command, "-config", written(t, "otad.conf", confOf(tt.args(t)), 0o644))
				} else {
					args = append(args, "-state-dir", dir)
				}
				var rec recorder
				if err := rec.run(t.Context(), t, nil, func(string) {}, args...); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("left %v", left)
				}
			})
		}
	}
}

// confOf turns flags into the lines of a config file.
func confOf(args []string) string {
	var b strings.Builder
	for i := 0; i < len(args); i += 2 {
		b.WriteString(strings.TrimPrefix(args[i], "-") + " " + args[i+1] + "\n")
	}
	return b.String()
}

func TestFetchWithASignatureFile(t *testing.T) {
	sha := sha256Of(t, object)
	honest := signer.Sign(signaturetest.Claims("1.2.3", object.Len(), sha))
	for _, tt := range []struct {
		name, signature string
		more            []string
		want            string // the error; empty: the package is Ready
	}{
		{"valid, and no digest typed", honest, nil, ""},
		{"valid, and the digest typed", honest, []string{"-md5", object.MD5(), "-version", "1.2.3"}, ""},
		{"of another version", honest, []string{"-version", "1.2.4"}, "SIGNATURE_INVALID: CLAIM_MISMATCH "},
		{"of other bytes", signer.Sign(signaturetest.Claims("1.2.3", object.Len(), strings.Repeat("0", 64))), nil, "SHA256_MISMATCH"},
		{"of another key", signaturetest.New(7).Sign(signaturetest.Claims("1.2.3", object.Len(), sha)), nil, "SIGNATURE_INVALID: UNKNOWN_KEY "},
		{"too old", honest, []string{"-min-version", "1.2.4"}, "SIGNATURE_INVALID: TOO_OLD "},
		{"empty", "", nil, "u.minisig is empty"},
		{"long", strings.Repeat("x", 5000), nil, "u.minisig is longer than a signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			origin := origintest.New(t, object)
			args := append([]string{"fetch", "-state-dir", t.TempDir(), "-name", "u.bin", "-min-free", "0", "-quiet",
				"-trusted-key", written(t, "a.pub", signer.PublicFile(), 0o644),
				"-signature", written(t, "u.minisig", tt.signature, 0o644)}, tt.more...)
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			var rec recorder
			for range 2 { // the same command again is the same job
				err = rec.run(t.Context(), t, out, func(string) {}, append(args, origin.URL()+"?key")...)
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			}
			var job *fsm.Error
			if strings.HasPrefix(tt.want, "SIGNATURE") && (!errors.As(err, &job) || job.Code != fsm.SignatureInvalid || len(origin.Requests()) > 0) {
				t.Errorf("%T, %d requests", err, len(origin.Requests()))
			}
			if tt.want == "" && len(origin.Requests()) != 1 {
				t.Errorf("%d requests", len(origin.Requests()))
			}
		})
	}
}

// With -signature URL, or the URL of the package, the machine fetches it.
func TestFetchFetchesTheSignature(t *testing.T) {
	text := signer.Sign(signaturetest.Claims("1.2.3", object.Len(), sha256Of(t, object)))
	for _, tt := range []struct{ name, url, signature, path string }{
		{"beside the package", "/u.bin", "", "/u.bin.minisig"},
		{"elsewhere", "/u.bin?key", "/signed?key", "/signed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			origin := origintest.New(t, object, origintest.Always().Path(tt.path).Replace(origintest.Object{Bytes: []byte(text)}))
			args := []string{"fetch", "-state-dir", t.TempDir(), "-name", "u.bin", "-min-free", "0", "-quiet", "-md5", object.MD5(),
				"-trusted-key", written(t, "a.pub", signer.PublicFile(), 0o644), origin.URLFor(tt.url)}
			if tt.signature != "" {
				args = append(args, "-signature", origin.URLFor(tt.signature))
			}
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			var rec recorder
			if err := rec.run(t.Context(), t, out, func(string) {}, args...); err != nil {
				t.Fatal(err)
			}
			if got := origin.Requests(); len(got) != 2 || !strings.HasPrefix(got[0].Target, tt.path) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func sha256Of(t *testing.T, o origintest.Object) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(o, 0, o.Len())); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
