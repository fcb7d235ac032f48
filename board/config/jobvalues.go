package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"otad/journal"
)

// The values of a job follow the rules of the journal, which stores them. A
// value that is given must not be empty, even if the journal allows that.

// digest is a digest of so many hex digits, kept in lower case.
func digest(target *string, digits int) value {
	return field[string]{target, func(s string) (string, error) {
		s = strings.ToLower(s)
		return s, jobError(s, fmt.Sprintf("%d hex digits", digits), digestProblem(s, digits))
	}, asIs}
}

func version(target *string) value {
	return checked(target, func(s string) error {
		return jobError(s, "a version such as 1.2.3", versionProblem(s))
	})
}

func packageName(target *string) value {
	return checked(target, func(s string) error {
		return jobError(s, "a plain file name", journal.NameProblem(s))
	})
}

// jobError returns the error of s, which has the given problem, nil for none.
func jobError(s, want, problem string) error {
	if s == "" {
		problem = "is missing"
	}
	if problem == "" {
		return nil
	}
	return fmt.Errorf("want %s, %s, which %s", want, got(s), problem)
}

func versionProblem(s string) string { return jobProblem(journal.Job{Version: s}) }

func digestProblem(s string, digits int) string {
	if digits == 32 {
		return jobProblem(journal.Job{MD5: s})
	}
	return jobProblem(journal.Job{SHA256: s})
}

// jobProblem returns the problem of the one field of j that is set.
func jobProblem(j journal.Job) string {
	j.URL, j.Name = "https://host/name", "name"
	if j.MD5 == "" {
		j.MD5 = strings.Repeat("0", 32)
	}
	var wrong *journal.FieldError
	if errors.As(j.Validate(), &wrong) {
		return wrong.Problem
	}
	return ""
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
