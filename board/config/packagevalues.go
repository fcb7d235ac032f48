package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"otad/journal"
)

// statuses is a list of HTTP errors, separated by commas; "" is the empty list.
func statuses(target *[]int) value {
	return field[[]int]{target, func(s string) ([]int, error) {
		var list []int
		for item := range strings.SplitSeq(s, ",") {
			if strings.TrimSpace(s) == "" {
				break
			}
			status, err := strconv.Atoi(strings.TrimSpace(item))
			if err != nil || status < 400 || status > 599 {
				return nil, fmt.Errorf("want HTTP statuses from 400 to 599 such as 429,503, %s", got(item))
			}
			list = append(list, status)
		}
		slices.Sort(list)
		return slices.Compact(list), nil
	}, func(list []int) string {
		var items []string
		for _, status := range list {
			items = append(items, strconv.Itoa(status))
		}
		return strings.Join(items, ",")
	}}
}

// hexDigest is a digest of n hex digits, kept in lower case.
func hexDigest(target *string, n int) value {
	return field[string]{target, func(s string) (string, error) {
		digest := strings.ToLower(s)
		if len(digest) != n || strings.Trim(digest, "0123456789abcdef") != "" {
			return "", fmt.Errorf("want %d hex digits, %s", n, got(s))
		}
		return digest, nil
	}, asIs}
}

// version is three whole numbers, as the device API has it.
func version(target *string) value {
	return field[string]{target, func(s string) (string, error) {
		parts := strings.Split(s, ".")
		for _, part := range parts {
			if len(parts) != 3 || len(s) > maxVersionBytes || part == "" || strings.Trim(part, "0123456789") != "" {
				return "", fmt.Errorf("want a version such as 1.2.3, %s", got(s))
			}
		}
		return s, nil
	}, asIs}
}

func packageName(target *string) value {
	return field[string]{target, func(s string) (string, error) {
		if problem := journal.NameProblem(s); problem != "" {
			return "", fmt.Errorf("want a plain file name, %s, which %s", got(s), problem)
		}
		return s, nil
	}, asIs}
}

// maxVersionBytes is what the journal keeps of a version.
const maxVersionBytes = 64

// nameFromURL is the last path element of raw, decoded. The errors say nothing
// of the URL but this element: its query may be a secret.
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
