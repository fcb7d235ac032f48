package journal

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a [Job] in bytes. MaxURL leaves enough of the journal for
// everything else; MaxName leaves enough of a 255-byte directory entry for a
// suffix.
const (
	MaxURL     = 4096
	MaxName    = 128
	MaxVersion = 64
	MaxOutput  = 255

	MaxSignature = 4096
)

// Job is one package to fetch. Its JSON keys are part of the journal's format,
// see [RecordVersion].
type Job struct {
	Version string `json:"version,omitempty"` // as in 1.2.3; may be empty
	URL     string `json:"url,omitempty"`     // may carry a signature: never log it
	Name    string `json:"name,omitempty"`    // plain file name
	Size    int64  `json:"size,omitempty"`    // bytes; 0: taken from the first response
	MD5     string `json:"md5,omitempty"`     // lower-case hex; may be empty
	SHA256  string `json:"sha256,omitempty"`  // lower-case hex; may be empty
	Output  string `json:"output,omitempty"`  // path of the device that it goes to; empty: a file. An older otad fetches a file

	// Signature is lines 2 to 4 of the package's .minisig file; may be empty.
	Signature string `json:"signature,omitempty"`
	// SignatureURL is where that file is; may be empty, and may be a key as URL is.
	SignatureURL string `json:"signature_url,omitempty"`
}

// Same reports whether j and o are the same job: the same name, version,
// digests, output and size, where a size of 0 is not known yet and equals any. The URL
// does not count: a pre-signed URL is different each time it is signed. Nor does
// the signature: the package may be signed again, with another key.
func (j Job) Same(o Job) bool {
	return j.Name == o.Name && j.Version == o.Version && j.MD5 == o.MD5 && j.SHA256 == o.SHA256 && j.Output == o.Output &&
		(j.Size == o.Size || j.Size == 0 || o.Size == 0)
}

// Field is a field of a [Job] in an error text. The HTTP API and the command
// line have names of their own for it.
type Field string

// The fields of a [Job].
const (
	FieldVersion Field = "version"
	FieldURL     Field = "URL"
	FieldName    Field = "name"
	FieldSize    Field = "size"
	FieldMD5     Field = "MD5"
	FieldSHA256  Field = "SHA-256"
	FieldOutput  Field = "output"

	FieldSignature    Field = "signature"
	FieldSignatureURL Field = "signature URL"
)

// FieldError is the error of [Job.Validate]: a field and what is wrong with it.
type FieldError struct {
	Field   Field
	Problem string // completes a sentence that begins with the field
}

// Error returns the field and its problem as one sentence.
func (e *FieldError) Error() string { return string(e.Field) + " " + e.Problem }

// Validate returns a *[FieldError] for the first field that breaks a rule, or
// nil. The version, the size and one of the two digests may be left out; a
// caller that requires them checks that first. The URL is checked for its
// length and for UTF-8 only.
func (j Job) Validate() error { return j.check(true, NameProblem) }

// validate is Validate for the job of a record, whose URL may be gone, and whose
// name an earlier version of otad may have accepted.
func (j Job) validate(withURL bool) error { return j.check(withURL, storedNameProblem) }

func (j Job) check(withURL bool, nameProblem func(string) string) error {
	for _, check := range []struct {
		field   Field
		applies bool
		problem string
	}{
		{FieldVersion, j.Version != "", VersionProblem(j.Version)},
		{FieldURL, withURL, urlProblem(j.URL)},
		{FieldName, true, nameProblem(j.Name)},
		{FieldSize, j.Size < 0, "is negative"},
		{FieldMD5, j.MD5 == "" && j.SHA256 == "", "is missing, and there is no SHA-256 in its place"},
		{FieldMD5, j.MD5 != "", DigestProblem(j.MD5, 32)},
		{FieldSHA256, j.SHA256 != "", DigestProblem(j.SHA256, 64)},
		{FieldOutput, j.Output != "", OutputProblem(j.Output)},
		{FieldSignature, j.Signature != "", textProblem(j.Signature, MaxSignature)},
		{FieldSignatureURL, j.SignatureURL != "", urlProblem(j.SignatureURL)},
	} {
		if check.applies && check.problem != "" {
			return &FieldError{Field: check.field, Problem: check.problem}
		}
	}
	return nil
}

// VersionProblem returns why version is not three numbers of at most
// [MaxVersion] bytes together, as the end of a sentence that begins with it, or
// "".
func VersionProblem(version string) string {
	switch {
	case len(version) > MaxVersion:
		return fmt.Sprintf("is longer than %d bytes", MaxVersion)
	case !threeNumbers(version):
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

// DigestProblem returns why text is not that many lower-case hexadecimal digits
// (32 for an MD5, 64 for a SHA-256), as the end of a sentence that begins with
// it, or "".
func DigestProblem(text string, digits int) string {
	if len(text) != digits || strings.Trim(text, "0123456789abcdef") != "" {
		return fmt.Sprintf("is not %d lower-case hexadecimal digits", digits)
	}
	return ""
}

// OutputProblem returns why path cannot be the path of a device, as the end of a
// sentence that begins with it, or "".
func OutputProblem(path string) string {
	switch {
	case !strings.HasPrefix(path, "/") || path != filepath.Clean(path):
		return "is not an absolute path such as /dev/mmcblk0p3"
	case len(path) > MaxOutput:
		return fmt.Sprintf("is longer than %d bytes", MaxOutput)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl):
		return "contains bytes that are not printable text"
	}
	return ""
}

func urlProblem(url string) string {
	if url == "" {
		return "is missing"
	}
	return textProblem(url, MaxURL)
}

// textProblem returns why text cannot be stored as it is within most bytes.
func textProblem(text string, most int) string {
	switch {
	case len(text) > most:
		return fmt.Sprintf("is longer than %d bytes", most)
	case !utf8.ValidString(text):
		return "is not UTF-8"
	}
	return ""
}

// NameProblem returns why name cannot be the file name of a new package, as the
// end of a sentence that begins with it, or "". A name reaches shells, logs and
// terminals: it must not be taken for anything but this name. So it has ASCII
// letters, digits and . _ + -, begins with a letter or a digit, and may have
// single spaces between words and letters of other scripts.
func NameProblem(name string) string {
	if problem := storedNameProblem(name); problem != "" {
		return problem
	}
	for _, own := range [...]string{".otad-part", ".otad-slot"} {
		if strings.HasSuffix(strings.ToLower(name), own) {
			return "ends in " + own + ", which marks unfinished packages"
		}
	}
	previous, alphabet := rune(0), (*unicode.RangeTable)(nil)
	for i, r := range name {
		letter := isClearLetter(r)
		switch {
		case letter || r >= '0' && r <= '9':
		case i == 0:
			return "does not begin with a letter or a digit"
		case r == '-' && previous == ' ':
			return "contains a dash after a space, as an option has it"
		case strings.ContainsRune("._+-", r):
		case r == ' ' && previous != ' ' && i < len(name)-1:
		case unicode.Is(unicode.M, r) && !isInvisible(r) && (isClearLetter(previous) || unicode.Is(unicode.M, previous)):
			letter = true // an accent or a vowel sign
		default:
			return fmt.Sprintf("contains %+q: allowed are letters, digits, . _ + - and single spaces between words", r)
		}
		previous = r
		switch own := alphabetOf(r); {
		case !letter:
			alphabet = nil
		case own == nil:
		case alphabet != nil && alphabet != own:
			return "mixes alphabets in one word, whose letters can look the same"
		default:
			alphabet = own
		}
	}
	return ""
}

// isClearLetter reports whether r is a letter that can be seen and that does not
// look like ASCII punctuation or another form of an ASCII letter.
func isClearLetter(r rune) bool {
	return unicode.IsLetter(r) && !isInvisible(r) && !unicode.Is(lookalikes, r)
}

// isInvisible reports whether r is a letter or a mark that is displayed as
// nothing.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == 0x180e
}

// lookalikes has letters that look like ASCII.
var lookalikes = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x01c0, Hi: 0x01c3, Stride: 1}, // clicks: | and !
		{Lo: 0x02b0, Hi: 0x02ff, Stride: 1}, // modifiers: ' and :
		{Lo: 0x2100, Hi: 0x218f, Stride: 1}, // the Kelvin sign, Roman numerals
		{Lo: 0xa78b, Hi: 0xa78c, Stride: 1}, // saltillo: '
		{Lo: 0xff21, Hi: 0xff5a, Stride: 1}, // full width
	},
	R32: []unicode.Range32{{Lo: 0x1d400, Hi: 0x1d7ff, Stride: 1}}, // mathematical
}

// alphabetOf returns the alphabet of r among those whose letters look like each
// other's, or nil.
func alphabetOf(r rune) *unicode.RangeTable {
	for _, t := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek} {
		if unicode.Is(t, r) {
			return t
		}
	}
	return nil
}

// storedNameProblem is NameProblem for a name in a journal, where earlier
// versions of otad have put every name that passes. It refuses the names of the
// other files in the state directory, in any case of letters because FAT ignores
// case.
func storedNameProblem(name string) string {
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
