package signatures_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"otad/hashing/signature"
	"otad/testdata/otadrun"
)

// TestMinisignAndOtadAgree: what minisign refuses, otad refuses, and what minisign
// takes with claims, otad takes.
func TestMinisignAndOtadAgree(t *testing.T) {
	b := newBench(t)
	honest := b.sign("old", "u.zip")
	other := func() string { // of another package
		b.write("v.zip", 2)
		return b.sign("old", "v.zip")
	}
	lines := func(text string) []string { return strings.SplitAfter(text, "\n") }
	keys, err := signature.ParseKeys(string(b.read("old.pub")))
	check(t, err)
	for _, c := range []struct {
		name, text string
		minisign   bool   // takes it
		want       string // otad's word; empty: taken
	}{
		{"honest", honest, true, ""},
		{"the comment is changed", strings.Replace(honest, "version:1.2.3", "version:9.9.9", 1), false, "invalid"},
		{"comment and second signature of another package", lines(honest)[0] + lines(honest)[1] + strings.Join(lines(other())[2:], ""), false, "invalid"},
		{"the first signature of another package", lines(honest)[0] + lines(other())[1] + strings.Join(lines(honest)[2:], ""), false, "invalid"},
		{"of another key", b.sign("new", "u.zip"), false, "unknown_key"},
		{"legacy", b.sign("old", "u.zip", "-l"), true, "legacy"},
		{"without claims", func() string {
			b.run("minisign", "-S", "-s", "old.key", "-m", "u.zip")
			return string(b.read("u.zip.minisig"))
		}(), true, "claim_missing"},
		{"cut", honest[:len(honest)-10], false, "malformed"},
		{"the longest comment that fits", func() string {
			b.run("minisign", "-S", "-s", "old.key", "-m", "u.zip", "-t", b.claims("u.zip", "1.2.3")+"\tnote:"+strings.Repeat("x", 3400))
			return string(b.read("u.zip.minisig"))
		}(), true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, os.WriteFile(b.path("case.minisig"), []byte(c.text), 0o644))
			cmd := exec.Command("minisign", "-V", "-p", "old.pub", "-m", "u.zip", "-x", "case.minisig")
			cmd.Dir = b.dir
			if out, err := cmd.CombinedOutput(); (err == nil) != c.minisign {
				t.Errorf("minisign: %v\n%s", err, out)
			}
			verdict, err := signature.Trust{Keys: keys}.Judge(c.text)
			refused, _ := err.(*signature.Error)
			if got := problemOf(refused); got != c.want {
				t.Errorf("otad: %q %v, want %q", got, err, c.want)
			}
			if c.want == "" && !strings.Contains(string(b.read("old.pub")), printed(string(verdict.Key))) {
				t.Errorf("the key is %s, minisign calls it\n%s", verdict.Key, b.read("old.pub"))
			}
		})
	}
}

// printed returns the number of a key as minisign prints it.
func printed(id string) string { return strings.TrimLeft(id, "0") }

func problemOf(err *signature.Error) string {
	if err == nil {
		return ""
	}
	return string(err.Problem)
}

// A public key of signify is one of minisign. Its signatures are over the bytes of
// the file, and have no trusted comment.
func TestSignify(t *testing.T) {
	b := newBench(t)
	b.run("signify-openbsd", "-G", "-n", "-p", "s.pub", "-s", "s.sec")
	b.run("signify-openbsd", "-S", "-s", "s.sec", "-m", "u.zip", "-x", "u.sig")
	check(t, os.WriteFile(b.path("both.pub"), append(b.read("s.pub"), b.read("old.pub")...), 0o644))
	b.sign("old", "u.zip")
	for _, c := range []struct {
		name  string
		flags []string
		code  int
		want  string
	}{
		{"its key beside one of minisign", []string{"-trusted-key", "both.pub"}, 0, "signed_by="},
		{"its key alone", []string{"-trusted-key", "s.pub"}, 3, "SIGNATURE_INVALID: UNKNOWN_KEY "},
		{"its signature", []string{"-trusted-key", "both.pub", "-signature", "u.sig"}, 3, "SIGNATURE_INVALID: LEGACY "},
		{"its secret key by mistake", []string{"-trusted-key", "s.sec"}, 2, "line 2 is a secret key: a board needs the public key alone"},
		{"minisign's secret key by mistake", []string{"-trusted-key", "old.key"}, 2, "line 2 is a secret key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := b.fetch("u.zip", c.flags...); r.Code != c.code || !strings.Contains(r.Stderr, c.want) {
				t.Errorf("exit code %d, want %d with %q\n%s", r.Code, c.code, c.want, r.Stderr)
			}
		})
	}
}

// TestFetchExitCodes: 3 for a package that nobody trusted has signed, before a
// byte of it was asked for.
func TestFetchExitCodes(t *testing.T) {
	b := newBench(t)
	honest := b.sign("old", "u.zip")
	for _, c := range []struct {
		name     string
		beside   string // at the URL with .minisig after it
		flags    []string
		code     int
		requests int32
		want     string
	}{
		{"signed", honest, nil, 0, 1, "signed_by="},
		{"not signed", "", nil, 3, 0, "SIGNATURE_INVALID: MISSING the signature: HTTP 404"},
		{"forged", strings.Replace(honest, "size:", "size:1", 1), nil, 3, 0, "SIGNATURE_INVALID: INVALID "},
		{"of another version", honest, []string{"-version", "1.2.4"}, 3, 0, "SIGNATURE_INVALID: CLAIM_MISMATCH "},
		{"of another package", func() string { b.write("v.zip", 2); return b.sign("old", "v.zip") }(), nil, 3, 1, "SHA256_MISMATCH: "},
		{"as old as the image", honest, []string{"-min-version", "@image"}, 0, 1, "signed_by="},
		{"older than the image", honest, []string{"-min-version", "1.2.4"}, 3, 0, "SIGNATURE_INVALID: TOO_OLD "},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, os.WriteFile(b.path("image"), []byte("1.2.3\n"), 0o644))
			check(t, os.RemoveAll(b.path("u.zip.minisig")))
			if c.beside != "" {
				check(t, os.WriteFile(b.path("u.zip.minisig"), []byte(c.beside), 0o644))
			}
			before := b.requests.Load()
			r := b.fetch("u.zip", append([]string{"-trusted-key", "old.pub"}, c.flags...)...)
			if n := b.requests.Load() - before; r.Code != c.code || n != c.requests || !strings.Contains(r.Stderr, c.want) {
				t.Errorf("exit code %d, want %d; %d requests, want %d; want %q\n%s", r.Code, c.code, n, c.requests, c.want, r.Stderr)
			}
		})
	}
}

// TestKeysAreRotated: a daemon with one key, then the other alone, then both, as a
// reload brings them. What is Ready is judged again, and no byte is fetched twice.
func TestKeysAreRotated(t *testing.T) {
	b := newBench(t)
	honest := b.sign("old", "u.zip")
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(t, err)
	trust := b.path("trusted.pub")
	trusts := func(names ...string) {
		var text []byte
		for _, name := range names {
			text = append(text, b.read(name+".pub")...)
		}
		check(t, os.WriteFile(trust, text, 0o644))
	}
	trusts("old")
	cmd := otadrun.Command(otad, "serve", "-listen", addr, "-state-dir", t.TempDir(), "-trusted-key", trust)
	p, err := otadrun.Start(cmd)
	check(t, err)
	t.Cleanup(func() { p.Kill() })
	check(t, p.AwaitListener(addr, patience))
	if code, msg := b.post(addr, nil); code != 400 || !strings.HasPrefix(msg, "SIGNATURE_INVALID: MISSING ") {
		t.Errorf("a job without a signature: %d %s", code, msg)
	}
	if code, msg := b.post(addr, map[string]any{"package_signature": b.sign("new", "u.zip")}); code != 400 || !strings.HasPrefix(msg, "SIGNATURE_INVALID: UNKNOWN_KEY ") {
		t.Errorf("a job of another key: %d %s", code, msg)
	}
	if code, msg := b.post(addr, map[string]any{"package_signature": honest}); code != 200 {
		t.Fatalf("%d %s", code, msg)
	}
	if now := await(t, p, addr, "Ready"); !strings.Contains(string(b.read("old.pub")), printed(now.SignedBy)) || len(now.SignedBy) != 16 {
		t.Errorf("%+v", now)
	}
	status, err := otadrun.Command(otad, "status", "-listen", addr).CombinedOutput()
	if err != nil || !strings.Contains(string(status), "  signed by ") {
		t.Errorf("otad status: %v %s", err, status)
	}
	for _, step := range []struct {
		keys  []string
		state string
	}{{[]string{"new"}, "Failed"}, {[]string{"old", "new"}, "Ready"}} {
		trusts(step.keys...)
		check(t, cmd.Process.Signal(syscall.SIGHUP))
		if now := await(t, p, addr, step.state); step.state == "Failed" && !strings.HasPrefix(now.Error, "SIGNATURE_INVALID: UNKNOWN_KEY ") {
			t.Errorf("%+v", now)
		}
	}
	if n := b.requests.Load(); n != 1 {
		t.Errorf("%d requests for the package", n)
	}
}

// TestRecipe pastes the commands of the two READMEs.
func TestRecipe(t *testing.T) {
	for _, readme := range []string{"README.md", "hashing/signature/README.md"} {
		t.Run(readme, func(t *testing.T) { pasteRecipe(t, filepath.Join("../..", readme)) })
	}
}

func pasteRecipe(t *testing.T, path string) {
	b := newBench(t)
	readme, err := os.ReadFile(path)
	check(t, err)
	_, section, _ := strings.Cut(string(readme), "\n## Sign your packages\n")
	_, after, _ := strings.Cut(section, "```sh\n")
	commands, _, found := strings.Cut(after, "```\n")
	if !found {
		t.Fatal("no commands under the heading")
	}
	if n := strings.Count(commands, "\n"); n != 5 {
		t.Errorf("%d lines", n)
	}
	bin := t.TempDir()
	check(t, os.Symlink(otad, filepath.Join(bin, "otad")))
	state := t.TempDir()
	cmd := otadrun.Command("bash", "-euc", strings.ReplaceAll(commands, "https://bucket.example", b.url))
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "OTAD_STATE_DIR="+state)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"Signature and comment signature verified", "signed_by=", fmt.Sprintln(filepath.Join(state, "u.zip"))} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}
