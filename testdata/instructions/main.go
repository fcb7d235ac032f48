// Command instructions counts what otad costs a board's processor: the
// instructions that `otad fetch` takes for each byte of a package, beside those
// of BusyBox' md5sum of the same bytes and of BusyBox' wget. It does so in QEMU
// guests (arm64 and armhf) in which an instruction takes one nanosecond, so that
// the user and system time of a process is the number of its instructions. The
// load of the host changes only the grouping of packets, a few percent between
// rounds.
//
//	testdata/powercut/setup.sh "" arm64 armhf
//	go run ./testdata/instructions -boards armhf -rounds 9
//
// A figure is not a time: an instruction that misses the cache costs as much here
// as one that does not. The guest has one core. Interrupts while the processor is
// idle count for no process. The column of the whole board includes them, and the
// work of the kernel's threads until all bytes are on the disk.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"otad/testdata/boards"
)

// options are the flags.
type options struct {
	boards string
	cache  string
	size   int64
	rounds int
	inside string
}

func main() {
	var o options
	flag.StringVar(&o.boards, "boards", "arm64,armhf", "which boards, of arm64 and armhf")
	flag.StringVar(&o.cache, "cache", boards.DefaultCache(), "where setup.sh has put the guests")
	flag.Int64Var(&o.size, "size", 24<<20, "bytes of the package")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of which medians are printed")
	flag.StringVar(&o.inside, "inside", "", "used by the program itself, in the guest")
	flag.Parse()
	if o.inside != "" {
		inside(o.inside)
		return
	}
	if o.size <= shortSize || o.rounds < 1 {
		fmt.Fprintf(os.Stderr, "a package of more than %d bytes and one round at least\n", shortSize)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	for _, arch := range strings.Split(o.boards, ",") {
		if err := bench(ctx, o, arch); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", arch, err)
			os.Exit(1)
		}
	}
}

// bench prints the tables of one board.
func bench(ctx context.Context, o options, arch string) error {
	dir, err := os.MkdirTemp("", "otad-instructions-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p := plan{Rounds: o.rounds}
	for size, to := range map[int64]*pkg{o.size: &p.Whole, shortSize: &p.Short} {
		made, origin, err := serve(size)
		if err != nil {
			return err
		}
		defer origin.Close()
		*to = made
	}
	r, err := newRig(ctx, o, arch, dir, p)
	if err != nil {
		return err
	}
	costs, err := r.run(ctx)
	if err != nil {
		return err
	}
	costs.print(os.Stdout, arch, r.machine.CPU, o)
	return nil
}
