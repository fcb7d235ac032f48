// Command peers measures otad against real programs on loopback: nginx serves,
// and otad, curl, wget, aria2c and md5sum run in turn, so that the ratios are
// stable on a noisy machine where the times are not.
//
//	go run ./testdata/peers kill [-size BYTES]        one SIGKILL at half of the package, one resume
//	go run ./testdata/peers bench [-size BYTES] [-rounds N] [-tls]   medians and ratios as a Markdown table
//	go run ./testdata/peers resume                    from the start of the process to its first range request
//	go run ./testdata/peers serve [-tls]              the daemon's memory while it is scraped and polled
//	go run ./testdata/peers large [BINARY ...]        a package over 4 GiB, killed twice: offsets, digest, memory
//	go run ./testdata/peers resumes [-rounds N]       N interrupted connections, N killed processes: does anything grow
//	go run ./testdata/peers kills [-rounds N] [-tls]  the daemon's memory over N kills, while it is scraped and polled
//	go run ./testdata/peers memory [-rounds N] [-tls] the daemon's memory by use, and the effect of the collector's settings
//	go run ./testdata/peers link [-rounds N] [-tls]   what otad adds to the time of a slow link
//	go run ./testdata/peers device [-size BYTES] [-rounds N]   an image onto a partition: straight, by way of a file, by SWUpdate
//	go run ./testdata/peers guard                     like bench, short, and fails where a ratio is far off
//	go run ./testdata/peers floor [-size BYTES] DIR   the write floor alone: the package's writes and syncs, nothing else
//
// It needs ./bin/otad, and the Debian packages that the Makefile installs.
package main

import (
	"cmp"
	"flag"
	"log"
	"os"
	"path/filepath"

	"otad/testdata/otadrun"
)

const otad = "bin/otad"

// usualSizes are default sizes of the package in bytes.
var usualSizes = map[string]int64{"link": 15e6} // 12 s of a slow link; otherwise 500 MB

func main() {
	log.SetFlags(0)
	command := "help"
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	size := flags.Int64("size", cmp.Or(usualSizes[command], 500e6), "bytes of the package")
	rounds := flags.Int("rounds", 7, "rounds, of which medians are printed")
	secure := flags.Bool("tls", false, "over TLS")
	if len(os.Args) > 2 {
		flags.Parse(os.Args[2:])
	}
	withNginx := func(do func(*stage) error) func() error {
		return func() error { return onStage(*size, *secure, do) }
	}
	run := map[string]func() error{
		"kill":    withNginx(killedAndResumed),
		"bench":   withNginx(func(s *stage) error { return bench(s, *rounds) }),
		"resume":  withNginx(func(s *stage) error { return resumeTimes(s, 3**rounds) }),
		"serve":   withNginx(daemonMemory),
		"guard":   withNginx(guard),
		"device":  func() error { return onStage(*size, false, func(s *stage) error { return device(s, *rounds) }) },
		"resumes": func() error { return inScratch(func(s *stage) error { return resumes(s, *rounds) }) },
		"kills":   withNginx(func(s *stage) error { return kills(s, *rounds) }),
		"memory":  withNginx(func(s *stage) error { return memory(s, *rounds) }),
		"link":    withNginx(func(s *stage) error { return slowLinkTimes(s, *rounds) }),
		"floor":   func() error { return writeFloor(flags.Arg(0), *size) },
		"large":   func() error { return inScratch(func(s *stage) error { return large(s, flags.Args()) }) },
	}[command]
	if run == nil {
		log.Fatal("usage: peers kill|bench|resume|serve|guard|large|resumes|kills|memory|link|device [flags]")
	}
	if err := run(); err != nil {
		log.Fatal("FAILED: ", err)
	}
}

// stage is the environment of a measurement: a package, and an origin that
// serves it.
type stage struct {
	dir    string   // temporary, on a real disk
	otad   []string // the binary, after the program that runs it, if any
	url    string   // of the package
	ca     string   // PEM file to trust; empty without TLS
	size   int64
	md5    string
	file   string // the package as nginx has it; empty where it is generated
	origin *nginx // nil where the package is generated
}

// inScratch calls do with a stage without a package.
func inScratch(do func(*stage) error) error {
	dir, err := os.MkdirTemp(scratch(), "otad-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return do(&stage{dir: dir, otad: []string{otad}})
}

// onStage calls do with a stage with a package and an nginx that serves it.
func onStage(size int64, secure bool, do func(*stage) error) error {
	return inScratch(func(s *stage) (err error) {
		s.size, s.file = size, filepath.Join(s.dir, "www", "package.bin")
		if err = os.Mkdir(filepath.Dir(s.file), 0o755); err != nil {
			return err
		}
		if s.md5, err = otadrun.WritePackage(s.file, size, ""); err != nil {
			return err
		}
		if s.origin, err = startNginx(s.dir, secure); err != nil {
			return err
		}
		defer s.origin.stop()
		s.url, s.ca = s.origin.url, s.origin.ca
		return do(s)
	})
}

// scratch is a folder on a disk: /tmp is often in memory, where a sync is free.
func scratch() string {
	if dir, err := os.UserCacheDir(); err == nil && os.MkdirAll(dir, 0o755) == nil {
		return dir
	}
	return ""
}
