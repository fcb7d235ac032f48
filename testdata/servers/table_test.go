package servers_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A table is the behaviour of each server, as Markdown.
type table struct {
	columns []*column
}

// A column is the behaviour of one server.
type column struct {
	name string
	mu   sync.Mutex
	keys []string // in the order in which they were noted
	seen map[string]string
}

func (t *table) add(name string) *column {
	c := &column{name: name, seen: make(map[string]string)}
	t.columns = append(t.columns, c)
	return c
}

// note records a value; a second value for the key is appended to the first,
// unless it is the same.
func (c *column) note(key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch old, known := c.seen[key]; {
	case !known:
		c.keys = append(c.keys, key)
		c.seen[key] = value
	case old != value:
		c.seen[key] = old + "; " + value
	}
}

// String returns the table with a line for each behaviour.
func (t *table) String() string {
	var keys []string
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range t.columns {
		fmt.Fprintf(&b, " %s |", c.name)
		for _, key := range c.keys {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---|", len(t.columns)))
	for _, key := range keys {
		fmt.Fprintf(&b, "| %s |", key)
		for _, c := range t.columns {
			fmt.Fprintf(&b, " %s |", cmp.Or(c.seen[key], "–"))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// answersProbes records the server's answers on which a resume depends.
func answersProbes(t *testing.T, r trial) {
	r.origin.publish(t, r.folder, r.packages.first)
	ask := func(header ...string) *http.Response {
		resp, _ := get(t, r.origin.client(), r.origin.url(r.folder), header...)
		return resp
	}
	part := fmt.Sprintf("bytes=%d-", middle)
	whole := ask("Range", "bytes=0-")
	r.seen.note("ETag", etagKind(whole.Header.Get("ETag")))
	r.seen.note("answer to a range", fmt.Sprint(ask("Range", part).StatusCode))
	r.seen.note("wrong If-Match", honoured(ask("Range", part, "If-Match", `"other"`), http.StatusPreconditionFailed))
	r.seen.note("wrong If-Range", honoured(ask("Range", part, "If-Range", `"other"`), http.StatusOK))
	beyond := ask("Range", fmt.Sprintf("bytes=%d-", r.packages.first.size))
	told := beyond.Header.Get("Content-Range")
	if told == "" {
		told = "no Content-Range"
	} else {
		told = "`" + strings.Replace(told, fmt.Sprint(r.packages.first.size), "SIZE", 1) + "`"
	}
	r.seen.note("range from the end", fmt.Sprintf("%d, %s", beyond.StatusCode, told))
	if whole.StatusCode != http.StatusPartialContent {
		t.Errorf("status %d to a request of the range from 0", whole.StatusCode)
	}
}

func etagKind(etag string) string {
	switch {
	case etag == "":
		return "none"
	case strings.HasPrefix(etag, "W/"):
		return "weak"
	default:
		return "strong"
	}
}

func honoured(resp *http.Response, by int) string {
	if resp.StatusCode == by {
		return fmt.Sprint(by)
	}
	return fmt.Sprintf("ignored (%d)", resp.StatusCode)
}
