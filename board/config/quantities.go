package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"

	"otad/fsm"
	"otad/journal"
)

func integer(target *int, least, most int) value {
	return field[int]{target, func(s string) (int, error) {
		v, err := strconv.Atoi(s)
		if err != nil || v < least || v > most {
			return 0, fmt.Errorf("want a whole number from %d to %d, %s", least, most, got(s))
		}
		return v, nil
	}, strconv.Itoa}
}

// keep is a number of packages, or all of them.
func keep(target *int) value {
	return field[int]{target, func(s string) (int, error) {
		if s == "all" {
			return fsm.KeepAll, nil
		}
		v, err := strconv.Atoi(s)
		if err != nil || v < 0 || v > journal.MaxPublished {
			return 0, fmt.Errorf("want all or a whole number from 0 to %d, %s", journal.MaxPublished, got(s))
		}
		return v, nil
	}, func(v int) string {
		if v == fsm.KeepAll {
			return "all"
		}
		return strconv.Itoa(v)
	}}
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

// leastRate refuses a limit that was meant in megabytes: at 5 bytes a second no
// transfer would end.
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
	n, err := humanize.ParseBytes(s)
	// ParseBytes skips commas, so that "1,5MiB" would be 15 MiB, and cuts 1.5
	// bytes down to one.
	part := strings.Contains(s, ".") && !strings.ContainsFunc(s, unicode.IsLetter)
	if err != nil || n > math.MaxInt64 || strings.Contains(s, ",") || part {
		return 0, fmt.Errorf("want a size such as 1048576, 500MB or 16MiB, %s", got(s))
	}
	return int64(n), nil
}

// formatSize formats n exactly, in the largest binary unit that divides it.
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

// offOr is 0, or a duration of at least least.
func offOr(least time.Duration, target *time.Duration) value {
	return field[time.Duration]{target, func(s string) (v time.Duration, err error) {
		if err = duration(&v, 0).Set(s); err == nil && v > 0 && v < least {
			err = fmt.Errorf("want 0 or at least %s, %s", formatDuration(least), got(s))
		}
		return v, err
	}, formatDuration}
}

// leastWait refuses waits that would make an origin that is down a target.
const leastWait = time.Second

// tryAgain is "off", the first and the longest wait as in 10s..1h, or one
// duration for both.
func tryAgain(target *fsm.TryAgain) value {
	return field[fsm.TryAgain]{target, func(s string) (fsm.TryAgain, error) {
		if s == "off" {
			return fsm.TryAgain{}, nil
		}
		from, to, two := strings.Cut(s, "..")
		if !two {
			to = from
		}
		first, err := time.ParseDuration(from)
		longest, errTo := time.ParseDuration(to)
		if err != nil || errTo != nil || first < leastWait || longest < first {
			return fsm.TryAgain{}, fmt.Errorf("want off, or the first and the longest wait as in 10s..1h, from %s on, %s",
				formatDuration(leastWait), got(s))
		}
		return fsm.TryAgain{First: first, Longest: longest}, nil
	}, func(a fsm.TryAgain) string {
		switch {
		case a.First == 0:
			return "off"
		case a.First == a.Longest:
			return formatDuration(a.First)
		}
		return formatDuration(a.First) + ".." + formatDuration(a.Longest)
	}}
}

// formatDuration formats as 5m what the library formats as 5m0s.
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
