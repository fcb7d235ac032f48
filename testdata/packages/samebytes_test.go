package packages_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The packagers, as the Makefile names them.
func packagers(t *testing.T) (nfpm, cyclonedx string) {
	t.Helper()
	text, err := os.ReadFile("../../Makefile")
	check(t, err)
	for line := range strings.Lines(string(text)) {
		for name, to := range map[string]*string{"NFPM ": &nfpm, "CYCLONEDX ": &cyclonedx} {
			if _, module, ok := strings.Cut(line, "$(TOOL) "); ok && strings.HasPrefix(line, name) {
				*to = strings.TrimSpace(module)
			}
		}
	}
	if nfpm == "" || cyclonedx == "" {
		t.Fatal("the Makefile does not name the packagers")
	}
	return nfpm, cyclonedx
}

// The second machine has another user, path, cache, umask, time zone, language and
// settings of git and Go, and its modules come from a proxy that is a folder. All
// files that make dist makes have to be the same.
func TestSameBytesFromTwoMachinesAndTwoUsers(t *testing.T) {
	t.Parallel()
	one := packageDir(t, "")
	source := clone(t, "another machine/src of otad") // the name has spaces, too
	home := filepath.Join(work, "another machine", "home")
	tools := filepath.Join(work, "tools")
	check(t, os.MkdirAll(home, 0o755))
	nfpm, cyclonedx := packagers(t)
	for _, module := range []string{nfpm, cyclonedx} {
		install := exec.Command("go", "install", "-trimpath", module)
		install.Env = append(os.Environ(), "GOBIN="+tools, "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
		must(t, install)
	}
	check(t, os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[core]\n\tabbrev = 20\n[log]\n\tshowSignature = true\n\tdate = relative\n"), 0o644))
	must(t, exec.Command("chown", "-R", "nobody:nogroup", filepath.Join(work, "another machine")))

	// The cache of modules is of root, and seen by nobody at /mnt in a namespace of its own.
	modules := must(t, exec.Command("go", "env", "GOMODCACHE"))
	cmd := exec.Command("unshare", "-m", "--wd", source, "sh", "-ec", `
		mount --bind "$0/cache/download" /mnt
		umask 077
		exec setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all make dist DIST=out BOARDS="$1" NFPM="$2" CYCLONEDX="$3"`,
		modules, *boards, tool(tools, nfpm), tool(tools, cyclonedx))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TZ=Asia/Tokyo", "LANG=de_DE.UTF-8", "USER=nobody", "XDG_CACHE_HOME=" + home + "/cache",
		"GOPROXY=file:///mnt", "GONOSUMDB=*", "GONOSUMCHECK=1", "GOFLAGS=-tags=other", "GOAMD64=v3", "GOARM64=v9.0", "GOEXPERIMENT=", "GOTOOLCHAIN=local"}
	must(t, cmd)

	two := filepath.Join(source, "out")
	sums, err := os.ReadFile(filepath.Join(one, "SHA256SUMS"))
	check(t, err)
	others, err := os.ReadFile(filepath.Join(two, "SHA256SUMS"))
	check(t, err)
	if string(sums) != string(others) {
		t.Errorf("the first machine made\n%sthe second\n%s", sums, others)
	}
	// They are the sums of the files, of which there are as many as there should be.
	if want := 3*len(strings.Fields(*boards)) + 1; strings.Count(string(sums), "\n") != want {
		t.Errorf("want %d files:\n%s", want, sums)
	}
	verify := exec.Command("sha256sum", "--strict", "-c", "SHA256SUMS")
	verify.Dir = two
	must(t, verify)
}

// tool returns the path of an installed program.
func tool(dir, module string) string {
	name, _, _ := strings.Cut(filepath.Base(module), "@")
	return filepath.Join(dir, name)
}

// The list of parts names Go, all modules of go.mod that are linked, and the binary.
func TestPartsOfTheBinaryAreListed(t *testing.T) {
	board := strings.Fields(*boards)[0]
	text, err := os.ReadFile(only(t, filepath.Join(packageDir(t, ""), "*_"+board+".cdx.json")))
	check(t, err)
	var parts struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version string }
	}
	check(t, json.Unmarshal(text, &parts))
	versions := map[string]string{}
	for _, c := range parts.Components {
		versions[c.Name] = c.Version
	}
	binary := filepath.Join(work, "one", "bin", "otad-"+board)
	if parts.BOMFormat != "CycloneDX" || parts.Metadata.Component.Name != "otad" || parts.Metadata.Component.Version == "" || versions["std"] == "" {
		t.Errorf("the list is of %+v", parts)
	}
	for line := range strings.Lines(must(t, exec.Command("go", "version", "-m", binary))) {
		columns := strings.Fields(line)
		if len(columns) > 2 && columns[0] == "dep" && versions[columns[1]] != columns[2] {
			t.Errorf("%s %s is listed as %q", columns[1], columns[2], versions[columns[1]])
		}
	}
}
