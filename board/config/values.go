package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// value is the field behind an option. Set leaves the field alone when it fails,
// and says what it wants; a later Set replaces an earlier one. String is the
// current value as a user would write it, "" for none.
type value interface {
	Set(text string) error
	String() string
}

// field is a value made of a way to read it and a way to write it.
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

// got shows a value that is not what was wanted, at most so much of it that the
// error stays one line. A URL that has slipped into the wrong place is not
// shown: its query may be a secret.
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

func text(target *string) value {
	return field[string]{target, func(s string) (string, error) { return s, nil }, asIs}
}

func directory(target *string) value {
	return field[string]{target, func(s string) (string, error) {
		if s == "" {
			return "", errors.New("want a directory, got nothing")
		}
		return s, nil
	}, asIs}
}

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

func integer(target *int, least, most int) value {
	return field[int]{target, func(s string) (int, error) {
		v, err := strconv.Atoi(s)
		if err != nil || v < least || v > most {
			return 0, fmt.Errorf("want a whole number from %d to %d, %s", least, most, got(s))
		}
		return v, nil
	}, strconv.Itoa}
}

// size is a number of bytes between least and most. A current value below least
// means that none has been set.
func size(target *int64, least, most int64) value {
	return field[int64]{target, func(s string) (int64, error) {
		v, err := parseSize(s)
		if err != nil {
			return 0, err
		}
		if v < least || v > most {
			return 0, fmt.Errorf("want %s, %s", sizeRange(least, most), got(s))
		}
		return v, nil
	}, func(v int64) string {
		if v < least {
			return ""
		}
		return formatSize(v)
	}}
}

// leastRate keeps a limit from being taken for one in megabytes: no transfer
// ends at 5 bytes a second.
const leastRate = 1 << 10

func rate(target *int64) value {
	return field[int64]{target, func(s string) (int64, error) {
		v, err := parseSize(s)
		if err == nil && v != 0 && v < leastRate {
			err = fmt.Errorf("want 0 for no limit or at least %s a second, %s", formatSize(leastRate), got(s))
		}
		return v, err
	}, formatSize}
}

func parseSize(s string) (int64, error) {
	// The library skips commas, which would make ten times the size of "1,5MiB".
	n, err := humanize.ParseBytes(s)
	// And it would cut 1.5 bytes down to one.
	part := strings.Contains(s, ".") && !strings.ContainsFunc(s, unicode.IsLetter)
	if err != nil || n > math.MaxInt64 || strings.Contains(s, ",") || part {
		return 0, fmt.Errorf("want a size such as 1048576, 500MB or 16MiB, %s", got(s))
	}
	return int64(n), nil
}

// formatSize writes n exactly, in the largest binary unit that divides it.
func formatSize(n int64) string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for ; n != 0 && n%1024 == 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + units[i]
}

func sizeRange(least, most int64) string {
	if most == math.MaxInt64 {
		return "at least " + formatSize(least)
	}
	return "from " + formatSize(least) + " to " + formatSize(most)
}

func duration(target *time.Duration, least time.Duration) value {
	return field[time.Duration]{target, func(s string) (time.Duration, error) {
		v, err := time.ParseDuration(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("want a duration such as 90s or 5m, %s", got(s))
		case v < least && least > 0:
			return 0, fmt.Errorf("want a duration above 0, %s", got(s))
		case v < least:
			return 0, fmt.Errorf("want a duration of 0 or more, %s", got(s))
		}
		return v, nil
	}, formatDuration}
}

// formatDuration writes 5m where the library writes 5m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if d == 0 {
		s = "0"
	}
	return s
}

func choice(target *string, allowed ...string) value {
	return field[string]{target, func(s string) (string, error) {
		if !slices.Contains(allowed, s) {
			return "", fmt.Errorf("want %s, %s", strings.Join(allowed, " or "), got(s))
		}
		return s, nil
	}, asIs}
}

func level(target *slog.Level) value {
	return field[slog.Level]{target, func(s string) (slog.Level, error) {
		switch s {
		case "debug":
			return slog.LevelDebug, nil
		case "info":
			return slog.LevelInfo, nil
		case "warn":
			return slog.LevelWarn, nil
		case "error":
			return slog.LevelError, nil
		}
		return 0, fmt.Errorf("want debug, info, warn or error, %s", got(s))
	}, func(l slog.Level) string { return strings.ToLower(l.String()) }}
}

// Whether an address may be empty.
const (
	required = false
	optional = true
)

// address is host:port with a numeric port. The host may be empty, for all of
// the board's addresses, and the port 0, for any free one.
func address(target *string, mayBeEmpty bool) value {
	return field[string]{target, func(s string) (string, error) {
		if s == "" && mayBeEmpty {
			return "", nil
		}
		_, port, err := net.SplitHostPort(s)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return "", fmt.Errorf("want an address such as 127.0.0.1:12315, %s", got(s))
		}
		return s, nil
	}, asIs}
}

// webURL never shows the URL in its error: there may be a secret in it.
func webURL(target *string) value {
	return field[string]{target, func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
			return "", errors.New("want an absolute http or https URL")
		}
		return s, nil
	}, asIs}
}
