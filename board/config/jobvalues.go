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

func versionProblem(s string) string { return jobProblem(journal.Job{Version: s}) }

// Upper case is accepted on the command line: complete stores lower case.

func md5Problem(s string) string    { return jobProblem(journal.Job{MD5: strings.ToLower(s)}) }
func sha256Problem(s string) string { return jobProblem(journal.Job{SHA256: strings.ToLower(s)}) }

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
