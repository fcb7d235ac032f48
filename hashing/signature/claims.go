package signature

import (
	"strconv"
	"strings"
)

// Claims are what the signer says of the package. In the trusted comment they are
// fields with tabs between them, as minisign's own fields are:
//
//	timestamp:1795782265	file:u.zip	hashed	version:1.2.3	size:104857600	sha256:d4702e49...
//
// All three are required. Fields with other names are ignored.
type Claims struct {
	Version string // three numbers with dots between them
	Size    int64  // bytes, at least 1
	SHA256  string // lower-case hex
}

// maxVersion is in bytes, as in a job.
const maxVersion = 64

// parseClaims returns the claims in a trusted comment.
func parseClaims(comment string) (c Claims, err *Error) {
	names := []string{"version", "size", "sha256"}
	values := map[string]string{}
	for field := range strings.SplitSeq(comment, "\t") {
		name, value, found := strings.Cut(field, ":")
		if _, twice := values[name]; found && twice {
			return c, refuse(ClaimTwice, "the trusted comment has %s: twice", name)
		}
		for _, known := range names {
			if found && name == known {
				values[name] = value
			}
		}
	}
	for _, name := range names {
		if _, there := values[name]; !there {
			return c, refuse(ClaimMissing, "the trusted comment has no %s: (fields with tabs between them: version:, size:, sha256:)", name)
		}
	}
	c = Claims{Version: values["version"], SHA256: values["sha256"]}
	size, bad := strconv.ParseInt(values["size"], 10, 64)
	c.Size = size
	switch {
	case len(c.Version) > maxVersion || numbersOf(c.Version) == nil:
		return c, refuse(ClaimBad, "version: is not three numbers with dots between them, as in 1.2.3")
	case bad != nil || size < 1 || strconv.FormatInt(size, 10) != values["size"]:
		return c, refuse(ClaimBad, "size: is not a number of bytes")
	case len(c.SHA256) != 64 || strings.Trim(c.SHA256, "0123456789abcdef") != "":
		return c, refuse(ClaimBad, "sha256: is not 64 lower-case hexadecimal digits")
	}
	return c, nil
}

// Contradicts returns an [*Error] with ClaimMismatch if the job says something
// else than the signer, and nil otherwise. The zero value of a field means that
// the job does not say.
func (c Claims) Contradicts(job Claims) error {
	switch {
	case job.Version != "" && job.Version != c.Version:
		return refuse(ClaimMismatch, "the version signed is %s, that of the job is %s", c.Version, job.Version)
	case job.Size != 0 && job.Size != c.Size:
		return refuse(ClaimMismatch, "the size signed is %d bytes, that of the job is %d", c.Size, job.Size)
	case job.SHA256 != "" && job.SHA256 != c.SHA256:
		return refuse(ClaimMismatch, "the SHA-256 signed is %s, that of the job is %s", c.SHA256, job.SHA256)
	}
	return nil
}

// numbersOf returns the three numbers of a version without leading zeros, or nil.
func numbersOf(version string) []string {
	numbers := strings.Split(version, ".")
	if len(numbers) != 3 {
		return nil
	}
	for i, n := range numbers {
		if n == "" || strings.Trim(n, "0123456789") != "" {
			return nil
		}
		numbers[i] = strings.TrimLeft(n, "0")
	}
	return numbers
}

// isOlder reports whether the version a is below b. The numbers may be larger
// than an integer.
func isOlder(a, b string) bool {
	m, n := numbersOf(a), numbersOf(b)
	for i := range min(len(m), len(n)) {
		switch {
		case len(m[i]) != len(n[i]):
			return len(m[i]) < len(n[i])
		case m[i] != n[i]:
			return m[i] < n[i]
		}
	}
	return false
}
