package config_test

import (
	"strings"
	"testing"
)

func TestNameComesFromTheURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://h/update.zip":                  "update.zip",
		"https://h/a/b/update.zip?sig=x/y#z":    "update.zip",
		"https://h/a%20b%2Bc.zip":               "a b+c.zip",
		"https://h/%C3%BCpdate.zip":             "\u00fcpdate.zip",
		"https://h/" + strings.Repeat("n", 128): strings.Repeat("n", 128),
		"https://h/journals.db":                 "journals.db",
		"https://h/x.partial":                   "x.partial",
	} {
		if got := parse(t, "fetch", "-md5", md5, url).Fetch.Job.Name; got != want {
			t.Errorf("%s: got name %q, want %q", url, got, want)
		}
	}
}

func TestURLsWithoutAUsableName(t *testing.T) {
	for _, url := range []string{"https://h", "https://h/", "https://h/a/", "https://h?x=y.zip", "https://h/..", "https://h/%2e%2e",
		"https://h/a%2Fb", "https://h/journal.db", "https://h/x.part", "https://h/a%00b", "https://h/%ff", ""} {
		refuse(t, nil, []string{"fetch", "-md5", md5, url}, "set -name")
		if got := parse(t, "fetch", "-name", "n.zip", "-md5", md5, url).Fetch.Job.Name; got != "n.zip" {
			t.Errorf("%s: got name %q in spite of -name", url, got)
		}
	}
	refuse(t, nil, []string{"fetch", "-md5", md5, "https://h/%zz"}, "the URL is not valid") // a name does not help here
}

func TestRefusedNames(t *testing.T) {
	for name, want := range map[string]string{
		"":                       "missing",
		".":                      "dot",
		"..":                     "dot",
		".hidden":                "dot",
		"a/b":                    "plain file name",
		`a\b`:                    "plain file name",
		"journal.db":             "journal",
		"Journal.DB":             "journal",
		"journal.opening":        "journal",
		"update.zip.part":        "unfinished",
		"update.zip.otad-part":   "unfinished",
		"UPDATE.PART":            "unfinished",
		"a\nb":                   "not printable",
		"a\x7fb":                 "not printable",
		"a\u0085b":               "not printable",
		"a\xffb":                 "not printable",
		strings.Repeat("n", 129): "128 bytes",
	} {
		refuse(t, nil, []string{"fetch", link, "-md5", md5, "-name", name}, "-name: ", want)
	}
}
