package netio

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A URLError says what is wrong with a URL, in words that hold nothing of its query or userinfo.
type URLError struct {
	Problem string // one clear line, without the name of the field
}

func (e *URLError) Error() string {
	return e.Problem
}

// CheckURL reports, as a [*URLError], why otad would not fetch raw: https goes to any host, http only to loopback
// (localhost, 127.0.0.0/8, ::1) unless allowHTTP, and there are no other schemes.
func CheckURL(raw string, allowHTTP bool) error {
	_, err := parseURL(raw, allowHTTP)
	return err
}

// parseURL returns raw as a URL that otad would fetch; the error is a *URLError.
func parseURL(raw string, allowHTTP bool) (*url.URL, error) {
	// The parser's own words are not passed on: they quote the URL, query and all.
	u, err := url.Parse(raw)
	if err != nil {
		return nil, &URLError{"not a URL"}
	}
	switch {
	case u.Scheme == "":
		return nil, &URLError{"URL has no scheme: want https"}
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, &URLError{"URL scheme is " + schemeName(u.Scheme) + ": want https"}
	case u.Hostname() == "":
		return nil, &URLError{"URL has no host"}
	case !validPort(u.Port()):
		return nil, &URLError{"URL port is out of range"}
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return nil, &URLError{"plain http is only for loopback: want https, or -allow-http"}
	}
	return u, nil
}

// schemeName returns a scheme that can be shown: one that is absurdly long is cut, as it may be anything.
func schemeName(scheme string) string {
	const longest = 16
	if len(scheme) > longest {
		scheme = scheme[:longest] + "..."
	}
	return strconv.Quote(scheme)
}

func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// CheckURL is the function of that name with the fetcher's own rule for plain http.
func (f *Fetcher) CheckURL(raw string) error { return CheckURL(raw, f.cfg.AllowHTTP) }
