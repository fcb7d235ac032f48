package deviceapi_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"otad/board/deviceapi"
	"otad/fsm"
)

// firstColumn returns the names in backquotes of the first column of the table
// in README.md whose header begins with "| header |".
func firstColumn(t *testing.T, header string) (names []string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(readme), "\n| "+header+" |")
	if !found {
		t.Fatalf("README.md has no table with %q", header)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for _, row := range regexp.MustCompile("\n\\| `(\\w+)` ").FindAllStringSubmatch(table, -1) {
		names = append(names, row[1])
	}
	return names
}

func TestReadmeHasTheKeysOfTheCode(t *testing.T) {
	var progress []string
	for field := range reflect.TypeFor[deviceapi.Progress]().Fields() {
		progress = append(progress, field.Tag.Get("json"))
	}
	var stages []string
	for _, s := range []fsm.State{fsm.Idle, fsm.Downloading, fsm.Verifying, fsm.Ready, fsm.Failed} {
		stages = append(stages, deviceapi.ProgressOf(fsm.Snapshot{State: s}).Stage)
	}
	for _, s := range []fsm.Stage{fsm.StageSucceeded, fsm.StageRebooting, fsm.StageInstalling} { // between toInstall and failed
		stages = slices.Insert(stages, 4, deviceapi.ProgressOf(fsm.Snapshot{State: fsm.Ready, Stage: s}).Stage)
	}
	for header, want := range map[string][]string{
		"Key": deviceapi.RequestKeys(), "Key in `data`": progress, "`stage` | What happens": stages,
	} {
		if got := firstColumn(t, header); !slices.Equal(got, want) {
			t.Errorf("table %q has %q, the code has %q", header, got, want)
		}
	}
}

func TestReadmeHasTheCodesOfTheCode(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := []string{
		string(fsm.DownloadFailed), string(fsm.MD5Mismatch), string(fsm.SHA256Mismatch),
		string(fsm.PackageSizeMismatch), string(fsm.DiskFull), string(fsm.InstallFailedCode), string(fsm.PackageExpired),
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`"([A-Z][A-Z_]{5,}): `).FindAllStringSubmatch(string(source), -1) {
			codes = append(codes, m[1])
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(readme), "\n## Codes\n")
	tables, _, _ = strings.Cut(tables, "\n## ")
	var documented []string
	for _, m := range regexp.MustCompile("`([A-Z][A-Z0-9_]{5,})`").FindAllStringSubmatch(tables, -1) {
		documented = append(documented, m[1])
	}
	documented = slices.DeleteFunc(documented, func(s string) bool { return s == "URL_EXPIRED" || s == "CRASH_LOOP" }) // details
	slices.Sort(codes)
	slices.Sort(documented)
	if got, want := slices.Compact(documented), slices.Compact(codes); !slices.Equal(got, want) {
		t.Errorf("README.md has %q,\nthe code %q", got, want)
	}
}
