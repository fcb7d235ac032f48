package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"otad/journal"
)

// jobText is a field of the job. It follows the journal's rule, of which problem
// returns the violation, and must not be empty even if the journal allows that.
func jobText(target *string, want string, problem func(string) string) value {
	return checked(target, func(s string) error {
		p := problem(s)
		if s == "" {
			p = "is missing"
		}
		if p == "" {
			return nil
		}
		return fmt.Errorf("want %s, %s, which %s", want, got(s), p)
	})
}

// digestProblem accepts upper case, which complete turns into lower case.
func digestProblem(digits int) func(string) string {
	return func(s string) string { return journal.DigestProblem(strings.ToLower(s), digits) }
}

// nameFromURL returns the last path element of raw, decoded. Its errors show no
// other part of the URL: the query may be a secret.
func nameFromURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("the URL is not valid")
	}
	path := u.EscapedPath()
	name, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return "", errors.New("the URL is not valid")
	}
	if name == "" {
		return "", errors.New("the URL ends in no file name: set -name")
	}
	if problem := journal.NameProblem(name); problem != "" {
		return "", fmt.Errorf("the URL ends in %q, which %s: set -name", name, problem)
	}
	return name, nil
}
