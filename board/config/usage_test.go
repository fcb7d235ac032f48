package config_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"otad/board/config"
)

// help returns the help text that these arguments print.
func help(t *testing.T, args ...string) string {
	t.Helper()
	var out strings.Builder
	c, err := config.Parse(args, []string{"OTAD_NONSENSE=1"}, &out)
	if !errors.Is(err, config.ErrHelp) || c != nil {
		t.Fatalf("%q: got %v, %v, want ErrHelp", args, c, err)
	}
	return out.String()
}

func TestHelpIsTheSameHoweverAskedFor(t *testing.T) {
	want := help(t, "help")
	for _, args := range [][]string{{"-h"}, {"-help"}, {"--help"}} {
		if got := help(t, args...); got != want {
			t.Errorf("%q: got %q", args, got)
		}
	}
	for _, command := range []string{"serve", "fetch", "status", "graph", "check-config", "version"} {
		if !strings.Contains(want, "\n  "+command+" ") {
			t.Errorf("the overview lacks %s", command)
		}
		own := help(t, "help", command)
		if !strings.HasPrefix(own, "usage: otad "+command) {
			t.Errorf("help of %s begins with %.40q", command, own)
		}
		if got := help(t, command, "-h"); got != own {
			t.Errorf("otad %s -h differs from otad help %s", command, command)
		}
	}
}

func TestHelpShowsExactlyTheCommandsOwnFlags(t *testing.T) {
	flag := regexp.MustCompile(`(?m)^  -([a-z0-9-]+)`)
	row := regexp.MustCompile("(?m)^\\| `-([a-z0-9-]+)[^|]*\\| ([^|]*) \\|")
	table, want := help(t, "help", "-markdown"), map[string][]string{}
	for _, match := range row.FindAllStringSubmatch(table, -1) {
		for command := range strings.SplitSeq(match[2], ", ") {
			want[command] = append(want[command], match[1])
		}
	}
	if len(want["serve"]) == 0 || len(want["fetch"]) == 0 {
		t.Fatalf("no flags in the table:\n%s", table)
	}
	for _, command := range []string{"serve", "fetch", "status", "graph", "check-config", "version"} {
		var got []string
		for _, match := range flag.FindAllStringSubmatch(help(t, "help", command), -1) {
			got = append(got, match[1])
		}
		if !slices.Equal(got, want[command]) {
			t.Errorf("%s: help shows %v, the table %v", command, got, want[command])
		}
	}
}

func TestDefaultsAreShown(t *testing.T) {
	for command, wants := range map[string][]string{
		"serve": {"(default /var/lib/otad)", "(default 1MiB)", "(default 5m)", "(default 10m)", "(default 10s..1h)", "(default 30s)", "(default 100)", "(default 127.0.0.1:12315)"},
		"fetch": {"(default 0)", "(default 10s)", "(default 16MiB)"},
	} {
		text := help(t, "help", command)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("help of %s lacks %q", command, want)
			}
		}
	}
	table := help(t, "help", "-markdown")
	if want := "| `-network-wait DURATION` | serve, fetch | `10m` (serve), `0` (fetch) |"; !strings.Contains(table, want) {
		t.Errorf("the table lacks %q:\n%s", want, table)
	}
}

// broken is an output that cannot be written to.
type broken struct{}

var errBroken = errors.New("broken pipe")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestReadmeHasTheTableOfFlags(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := help(t, "help", "-markdown"); !strings.Contains(string(readme), "\n"+table+"\n") {
		t.Errorf("README.md does not have the output of otad help -markdown:\n%s", table)
	}
}

func TestReadmeHasARecipeThatIsAccepted(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(readme), "## A board that must never give up\n\n```\n")
	recipe, _, found := strings.Cut(after, "```\n")
	path := filepath.Join(t.TempDir(), "otad.conf")
	if err := os.WriteFile(path, []byte(recipe), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse([]string{"serve", "-config", path}, nil, io.Discard)
	if !found || err != nil || c.Serve.TryAgain.First == 0 || len(c.Source.RetryStatus) != 5 {
		t.Errorf("%v: %q gives %+v", err, recipe, c)
	}
}

func TestHelpThatCannotBePrintedIsAnError(t *testing.T) {
	if _, err := config.Parse([]string{"help"}, nil, broken{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
}
