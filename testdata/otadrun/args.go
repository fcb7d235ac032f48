package otadrun

import (
	"slices"
	"strconv"
)

// Fetch is a call of `otad fetch`.
type Fetch struct {
	Dir   string // state directory
	URL   string
	MD5   string
	Name  string   // empty: otad takes the name from URL
	Size  int64    // 0: otad learns the size from the first response
	Flags []string // further flags, such as -quiet
}

// Args returns the arguments of otad.
func (f Fetch) Args() []string {
	args := append([]string{"fetch", "-state-dir", f.Dir, "-md5", f.MD5}, f.Flags...)
	if f.Name != "" {
		args = append(args, "-name", f.Name)
	}
	if f.Size > 0 {
		args = append(args, "-size", strconv.FormatInt(f.Size, 10))
	}
	return append(args, f.URL)
}

// ServeArgs returns the arguments of an `otad serve` with its API on addr.
func ServeArgs(dir, addr string, flags ...string) []string {
	return slices.Concat([]string{"serve", "-state-dir", dir, "-listen", addr}, flags)
}
