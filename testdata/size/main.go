// Command size prints the size of each dependency in the binary of each board:
//
//	go run ./testdata/size BINARY...
//
// The binaries are otad's with their symbols (make size builds them). A symbol's
// bytes are its module's; the line tables that the Go runtime needs to unwind
// (.gopclntab) have no symbols and are divided in proportion to the code.
package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: size BINARY...")
	}
	var columns []column
	for _, path := range os.Args[1:] {
		c, err := measure(path)
		if err != nil {
			log.Fatalf("%s: %v", path, err)
		}
		columns = append(columns, c)
	}
	show(columns)
}

// column is one binary: bytes by owner.
type column struct {
	name  string
	bytes map[string]int64
}

// kept are the sections that stay in a stripped binary and hold symbols.
var kept = []string{".text", ".rodata", ".data", ".noptrdata", ".go.fipsinfo"}

func measure(path string) (column, error) {
	c := column{strings.TrimSuffix(filepath.Base(path), ".symbols"), map[string]int64{}}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return c, err
	}
	modules := []string{info.Main.Path}
	for _, m := range info.Deps {
		modules = append(modules, m.Path)
	}
	f, err := elf.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return c, fmt.Errorf("%w: it has to be built without -ldflags -s", err)
	}
	code, all := map[string]int64{}, int64(0)
	for _, s := range symbols {
		if int(s.Section) >= len(f.Sections) || !slices.Contains(kept, f.Sections[s.Section].Name) {
			continue
		}
		owner := ownerOf(s.Name, modules)
		c.bytes[owner] += int64(s.Size)
		if f.Sections[s.Section].Name == ".text" {
			code[owner] += int64(s.Size)
			all += int64(s.Size)
		}
	}
	if lines := f.Section(".gopclntab"); lines != nil && all > 0 {
		for owner, n := range code {
			c.bytes[owner] += int64(float64(lines.Size) * float64(n) / float64(all))
		}
	}
	c.bytes[nobody] += loaded(f) - c.sum()
	return c, nil
}

// nobody is the owner of bytes without a symbol, and of the linker's own
// symbols.
const nobody = "strings, type descriptors, tables"

// loaded returns the size of the sections that a stripped binary has.
func loaded(f *elf.File) (n int64) {
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Type != elf.SHT_NOBITS {
			n += int64(s.Size)
		}
	}
	return n
}

func (c column) sum() (n int64) {
	for _, b := range c.bytes {
		n += b
	}
	return n
}

// groups of the standard library that are worth a line of their own.
var groups = []struct{ name, prefixes string }{
	{"net/http", "net/http net/textproto mime vendor/golang.org/x/net"},
	{"crypto (TLS, X.509, digests)", "crypto hash encoding/asn1 encoding/pem math/big vendor/golang.org/x/crypto"},
	{"Go runtime", "runtime internal/runtime internal/abi"},
}

// ownerOf returns the module, or the part of the standard library, of a symbol
// such as go.etcd.io/bbolt.(*DB).Update.
func ownerOf(symbol string, modules []string) string {
	name := strings.TrimPrefix(symbol, "type:.eq.")
	dir, base := "", name
	if i := strings.LastIndex(strings.SplitN(name, "[", 2)[0], "/"); i >= 0 {
		dir, base = name[:i+1], name[i+1:]
	}
	pkg, _, ok := strings.Cut(base, ".")
	if !ok || strings.Contains(name, ":") {
		return nobody
	}
	pkg = strings.ReplaceAll(dir+pkg, "%2e", ".")
	longest := ""
	for _, m := range modules {
		if within(pkg, m) && len(m) > len(longest) {
			longest = m
		}
	}
	switch {
	case longest != "":
		return longest
	case pkg == "main":
		return modules[0]
	}
	for _, g := range groups {
		if slices.ContainsFunc(strings.Fields(g.prefixes), func(p string) bool { return within(pkg, p) }) {
			return g.name
		}
	}
	return "rest of the standard library"
}

func within(pkg, tree string) bool { return pkg == tree || strings.HasPrefix(pkg, tree+"/") }

func show(columns []column) {
	total := map[string]int64{}
	for _, c := range columns {
		for owner, n := range c.bytes {
			total[owner] += n
		}
	}
	owners := slices.SortedFunc(maps.Keys(total), func(a, b string) int { return cmp.Compare(total[b], total[a]) })
	var head, rule, sum bytes.Buffer
	for _, c := range columns {
		fmt.Fprintf(&head, " %s |", c.name)
		rule.WriteString("---:|")
		fmt.Fprintf(&sum, " %.2f MB |", float64(c.sum())/1e6)
	}
	fmt.Printf("| in the binary |%s\n|---|%s\n", &head, &rule)
	for _, o := range owners {
		fmt.Printf("| %s |", o)
		for _, c := range columns {
			fmt.Printf(" %d KB |", (c.bytes[o]+500)/1000)
		}
		fmt.Println()
	}
	fmt.Printf("| **sum** |%s\n", &sum)
}
