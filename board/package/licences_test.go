package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestLicencesOfAllRequiredModulesAreThere(t *testing.T) {
	text, err := licences("../..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	modules := regexp.MustCompile(`(?m)^\t(\S+ v\S+)`).FindAllStringSubmatch(string(mod), -1)
	if len(modules) < 5 {
		t.Fatalf("go.mod requires %v", modules)
	}
	// A peer in tests, and what it needs, is in no binary.
	if strings.Contains(string(text), "aead.dev/minisign") {
		t.Error("the peer of the tests of signatures is linked into otad")
	}
	modules = slices.DeleteFunc(modules, func(m []string) bool {
		return strings.HasPrefix(m[1], "aead.dev/minisign ") || strings.HasPrefix(m[1], "golang.org/x/crypto ")
	})
	for _, m := range append(modules, []string{"", "the Go standard library"}) {
		if !strings.Contains(string(text), "\n"+m[1]+"\n") {
			t.Errorf("no licence of %s", m[1])
		}
	}
	for _, words := range []string{"otad\n\nMIT License", "Apache License", "The Go Authors", "Ben Johnson", "This product includes software"} {
		if !strings.Contains(string(text), words) {
			t.Errorf("the licences lack %q", words)
		}
	}
}
