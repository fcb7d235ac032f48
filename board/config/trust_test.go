package config_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"otad/board/config"
)

func TestSeveralTrustedKeys(t *testing.T) {
	path := file(t, "trusted-key /a.pub", "trusted-key /b.pub")
	if got := parse(t, "serve", "-config", path).TrustedKeys; !slices.Equal(got, []string{"/a.pub", "/b.pub"}) {
		t.Errorf("from the file: %q", got)
	}
	if got := parse(t, "serve", "-config", path, "-trusted-key", "/c d.pub").TrustedKeys; !slices.Equal(got, []string{"/c d.pub"}) {
		t.Errorf("the command line replaces those of the file: %q", got)
	}
}

func TestMinVersion(t *testing.T) {
	for _, value := range []string{"1.2.3", "@/etc/otad.version"} {
		if got := parse(t, "serve", "-trusted-key", "/a.pub", "-min-version", value).MinVersion; got != value {
			t.Errorf("got %q, want %q", got, value)
		}
	}
	for problem, args := range map[string][]string{
		"-min-version needs -trusted-key":     {"serve", "-min-version", "1.2.3"},
		"want a version such as 1.2.3":        {"serve", "-trusted-key", "/a.pub", "-min-version", "1.2"},
		"or @ and a file that holds one":      {"serve", "-trusted-key", "/a.pub", "-min-version", "@"},
		"-signature needs -trusted-key":       {"fetch", "https://h/u.zip", "-md5", md5, "-signature", "u.minisig"},
		"want a file, got nothing":            {"serve", "-trusted-key", ""},
		"or -trusted-key and -signature FILE": {"fetch", "https://h/u.zip", "-trusted-key", "/a.pub"},
		"cannot be checked":                   {"fetch", "https://h/u.zip", "-trusted-key", "/a.pub", "-signature", "https://h/u.zip.minisig"},
	} {
		if _, err := config.Parse(args, nil, io.Discard); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: %v, want %s", args, err, problem)
		}
	}
}

// The signature has the SHA-256, so none has to be typed.
func TestSignedFetchNeedsNoDigest(t *testing.T) {
	c := parse(t, "fetch", "https://h/u.zip", "-trusted-key", "/a.pub", "-signature", "u.zip.minisig")
	if c.Fetch.Job.Name != "u.zip" || c.Fetch.Signature != "u.zip.minisig" {
		t.Errorf("%+v", c.Fetch)
	}
}
