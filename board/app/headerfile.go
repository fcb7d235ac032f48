package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"syscall"
)

// maxHeaderFile is in bytes. Servers refuse longer headers.
const maxHeaderFile = 16 << 10

// readHeader returns the header fields of the file, nil for no file. Its errors
// show the number of the line and no part of the line: it may be a key.
func readHeader(path string) (http.Header, error) {
	if path == "" {
		return nil, nil
	}
	content, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("header file: %w", err)
	}
	header, number := http.Header{}, 0
	for line := range strings.Lines(content) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		key, problem := textproto.CanonicalMIMEHeaderKey(name), ""
		switch value = strings.TrimSpace(value); {
		case !found || !isToken(name) || value == "":
			problem = `want "Name: value"`
		case isOwnField(strings.ToLower(name)):
			problem = key + " is set by otad itself"
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			problem = key + " has a control character in its value"
		case header[key] != nil:
			problem = key + " is set twice"
		}
		if problem != "" {
			return nil, fmt.Errorf("header file %s:%d: %s", path, number, problem)
		}
		header[key] = []string{value}
	}
	return header, nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// isOwnField reports whether otad or the connection itself sets the field. Another
// value would change which bytes are asked for, or where a message ends.
func isOwnField(lower string) bool {
	own := []string{"host", "range", "accept-encoding", "connection", "expect", "keep-alive", "te", "trailer",
		"transfer-encoding", "upgrade"}
	return slices.Contains(own, lower) || strings.HasPrefix(lower, "if-") ||
		strings.HasPrefix(lower, "content-") || strings.HasPrefix(lower, "proxy-")
}

// readPrivate returns the content of a regular file that nobody but root and
// otad's own user can read or change.
func readPrivate(path string) (string, error) {
	content, st, err := readRegular(path, maxHeaderFile+1)
	if err != nil {
		return "", err
	}
	if mode := st.Mode().Perm(); mode != 0o600 && mode != 0o400 {
		return "", fmt.Errorf("%s has mode %04o: want 0600 or 0400", path, mode)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s is owned by another user", path)
	}
	if len(content) > maxHeaderFile {
		return "", errors.New("longer than 16 KiB")
	}
	return content, nil
}
