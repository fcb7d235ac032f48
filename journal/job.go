package journal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a Job. MaxURL is what fits into the journal beside everything
// else; MaxName leaves room for a suffix in a 255-byte directory entry.
const (
	MaxURL     = 4096
	MaxName    = 128
	maxVersion = 64
)

// Job is one package to fetch. Its fields are stored in the journal: they may
// be added to, never renamed or given another meaning.
type Job struct {
	Version string `json:"version,omitempty"` // as in 1.2.3; empty when nobody said
	URL     string `json:"url,omitempty"`     // may carry a signature: never log it
	Name    string `json:"name,omitempty"`    // plain file name
	Size    int64  `json:"size,omitempty"`    // bytes; 0: to be learned from the first answer
	MD5     string `json:"md5,omitempty"`     // lower-case hex; empty when not asked for
	SHA256  string `json:"sha256,omitempty"`  // lower-case hex; empty when not asked for
}

// Same reports whether j and o are the same job: the same name, version,
// digests and size, where a size of 0 is not known yet and fits any. The URL
// is no part of it, for a pre-signed one is different each time it is signed.
func (j Job) Same(o Job) bool {
	return j.Name == o.Name && j.Version == o.Version && j.MD5 == o.MD5 && j.SHA256 == o.SHA256 &&
		(j.Size == o.Size || j.Size == 0 || o.Size == 0)
}

// FieldError says which field of a job is wrong, under the name it has in the
// HTTP API, and what is wrong with it.
type FieldError struct {
	Field   string // package_md5, version, ...
	Problem string // completes a sentence that begins with the field
}

// Error returns the field and its problem as one sentence.
func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Validate returns a *FieldError for the first field that breaks a rule, nil
// when there is none. A version, a size of 0 and one of the two digests may be
// left out here: whoever asks for more checks that before. Of the URL only the
// length is looked at.
func (j Job) Validate() error {
	for _, check := range []struct{ field, problem string }{
		{"version", j.versionProblem()},
		{"package_url", j.urlProblem()},
		{"package_name", NameProblem(j.Name)},
		{"package_size", j.sizeProblem()},
		{"package_md5", j.md5Problem()},
		{"package_sha256", hexProblem(j.SHA256, 64)},
	} {
		if check.problem != "" {
			return &FieldError{Field: check.field, Problem: check.problem}
		}
	}
	return nil
}

func (j Job) versionProblem() string {
	switch {
	case j.Version == "":
		return ""
	case len(j.Version) > maxVersion:
		return fmt.Sprintf("is longer than %d bytes", maxVersion)
	case !threeNumbers(j.Version):
		return "is not three numbers with dots between them, as in 1.2.3"
	}
	return ""
}

func threeNumbers(s string) bool {
	numbers := strings.Split(s, ".")
	for _, n := range numbers {
		if n == "" || strings.Trim(n, "0123456789") != "" {
			return false
		}
	}
	return len(numbers) == 3
}

func (j Job) urlProblem() string {
	switch {
	case j.URL == "":
		return "is missing"
	case len(j.URL) > MaxURL:
		return fmt.Sprintf("is longer than %d bytes", MaxURL)
	case !utf8.ValidString(j.URL):
		return "is not UTF-8"
	}
	return ""
}

// NameProblem is what keeps name from being a package's file name, as the end of
// a sentence that begins with it; empty when nothing does. It keeps a package
// from being published over one of the files that share the state directory with
// it. FAT folds case, so this does too.
func NameProblem(name string) string {
	folded := strings.ToLower(name)
	switch {
	case name == "":
		return "is missing"
	case len(name) > MaxName:
		return fmt.Sprintf("is longer than %d bytes", MaxName)
	case strings.HasPrefix(name, "."):
		return "begins with a dot"
	case strings.ContainsAny(name, `/\`):
		return "contains a path separator"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "contains bytes that are not printable text"
	case strings.HasPrefix(folded, "journal."):
		return "begins with journal., which names files of the updater itself"
	case strings.HasSuffix(folded, ".part"):
		return "ends in .part, which marks unfinished packages"
	}
	return ""
}

func (j Job) sizeProblem() string {
	if j.Size < 0 {
		return "is negative"
	}
	return ""
}

func (j Job) md5Problem() string {
	if j.MD5 == "" && j.SHA256 == "" {
		return "is missing, and there is no package_sha256 in its place"
	}
	return hexProblem(j.MD5, 32)
}

// hexProblem is about a digest of so many digits; an empty one was not given.
func hexProblem(s string, digits int) string {
	notHex := func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }
	if s != "" && (len(s) != digits || strings.ContainsFunc(s, notHex)) {
		return fmt.Sprintf("is not %d lower-case hexadecimal digits", digits)
	}
	return ""
}
