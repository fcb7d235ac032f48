package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"otad/netio"
)

// value is the field behind an option. Set replaces the value; when it fails it
// leaves the field unchanged and its error says which values are allowed. String
// returns the current value as a user would write it, "" for none.
type value interface {
	Set(text string) error
	String() string
}

// field is a value that consists of a way to parse and a way to format it.
type field[T any] struct {
	target *T
	parse  func(string) (T, error)
	format func(T) string
}

func (f field[T]) Set(text string) error {
	v, err := f.parse(text)
	if err == nil {
		*f.target = v
	}
	return err
}

func (f field[T]) String() string { return f.format(*f.target) }

func asIs(s string) string { return s }

// got shows a refused value in an error, cut so that the error stays one line. A
// URL in the wrong place is not shown: its query may be a secret.
func got(text string) string {
	const most = 100
	switch {
	case strings.Contains(text, "://"):
		return "got a URL"
	case len(text) > most:
		return fmt.Sprintf("got %q and %d bytes more", text[:most], len(text)-most)
	}
	return fmt.Sprintf("got %q", text)
}

// checked is a text for which check returns nil.
func checked(target *string, check func(string) error) value {
	return field[string]{target, func(s string) (string, error) { return s, check(s) }, asIs}
}

func text(target *string) value {
	return checked(target, func(string) error { return nil })
}

func directory(target *string) value {
	return checked(target, func(s string) error {
		if s == "" {
			return errors.New("want a directory, got nothing")
		}
		return nil
	})
}

// given is a value that notes whether it was set at all.
type given struct {
	of  value
	set *bool
}

// Set implements value.
func (g given) Set(text string) error {
	err := g.of.Set(text)
	*g.set = *g.set || err == nil
	return err
}

// String implements value.
func (g given) String() string { return g.of.String() }

func boolean(target *bool) value {
	return field[bool]{target, func(s string) (bool, error) {
		v, err := strconv.ParseBool(s)
		if err != nil {
			return false, fmt.Errorf("want true or false, %s", got(s))
		}
		return v, nil
	}, func(v bool) string {
		if !v {
			return ""
		}
		return "true"
	}}
}

// oneOf is a value with few possible texts.
type oneOf struct {
	value
	allowed []string
}

func (o oneOf) words() []string { return o.allowed }

func choice(target *string, allowed ...string) value {
	return oneOf{checked(target, func(s string) error {
		if !slices.Contains(allowed, s) {
			return fmt.Errorf("want %s, %s", strings.Join(allowed, " or "), got(s))
		}
		return nil
	}), allowed}
}

func tlsVersion(target *uint16) value {
	names := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	return field[uint16]{target, func(s string) (uint16, error) {
		v, ok := names[s]
		if !ok {
			return 0, fmt.Errorf("want 1.2 or 1.3, %s", got(s))
		}
		return v, nil
	}, func(v uint16) string { return strings.TrimPrefix(tls.VersionName(v), "TLS ") }}
}

func level(target *slog.Level) value {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	name := func(l slog.Level) string { return strings.ToLower(l.String()) }
	var names []string
	for _, l := range levels {
		names = append(names, name(l))
	}
	return oneOf{field[slog.Level]{target, func(s string) (slog.Level, error) {
		if i := slices.Index(names, s); i >= 0 {
			return levels[i], nil
		}
		return 0, fmt.Errorf("want debug, info, warn or error, %s", got(s))
	}, name}, names}
}

// address is empty or host:port with a numeric port. The host may be empty, for
// all of the board's addresses, and the port 0, for any free one.
func address(target *string) value {
	return checked(target, func(s string) error {
		if s != "" && !isHostPort(s) {
			return fmt.Errorf("want an address such as 127.0.0.1:12315, %s", got(s))
		}
		return nil
	})
}

func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err == nil
}

// addresses is a list of host:port and unix:PATH, separated by spaces or commas.
// Each Set adds to it.
type addresses struct{ target *[]string }

// list is a value of which one source may hold several assignments.
type list interface {
	// clear forgets the values of a source that has less weight.
	clear()
}

func (a addresses) clear() { *a.target = nil }

func (a addresses) Set(text string) error {
	items := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	for _, item := range items {
		if !isHostPort(item) && !isSocket(item) {
			items = nil
		}
	}
	if len(items) == 0 {
		return fmt.Errorf("want an address such as 127.0.0.1:12315 or unix:/run/otad/api.sock, %s", got(text))
	}
	*a.target = append(*a.target, items...)
	return nil
}

func (a addresses) String() string { return strings.Join(*a.target, " ") }

// isSocket reports whether s is the address of a Unix socket, whose path has a
// bound in the kernel.
func isSocket(s string) bool {
	const most = 107 // bytes (unix(7))
	path, ok := strings.CutPrefix(s, "unix:")
	return ok && strings.HasPrefix(path, "/") && len(path) <= most
}

// webURL is empty or an http or https URL. Its error does not show the URL,
// which may hold a secret.
func webURL(target *string) value {
	return checked(target, func(s string) error {
		if s != "" && netio.CheckURL(s, true) != nil {
			return errors.New("want an absolute http or https URL")
		}
		return nil
	})
}

// statuses is a list of HTTP error statuses, separated by commas; "" is the
// empty list.
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
