// Powercut cuts the power of boards that run otad, again and again, and checks
// the promises of otad:
//
//   - a package that was reported Ready is Ready after every cut, and the file
//     has the package's MD5;
//   - an accepted job goes on by itself, from the last checkpoint that was
//     reported or a later one;
//   - a job that fails because the link breaks is started again by itself, and
//     keeps its checkpoint;
//   - at most two checkpoint intervals of written bytes are requested again (only
//     the host's board can see this);
//   - otad works after every boot;
//   - each Ready is reported to the callback URL at least once, and no partial
//     file is left behind;
//   - with -device, which gives the board a second disk for the packages: nothing
//     can be mounted from that disk after a cut but what is whole.
//
// The board is either this machine's kernel with a file system of ours (-board
// host) or a guest in QEMU with Debian's kernel and BusyBox init, in which
// board/init/S90otad starts otad (-board amd64, arm64 or armhf). In both the
// disk is this program's: it has a volatile write cache, and at a power cut the
// writes that no flush has covered are lost, kept, reordered or torn.
//
//	testdata/powercut/setup.sh
//	go run ./testdata/powercut -board host -n 1000
//	go run ./testdata/powercut -board arm64 -n 20 -seed 7
//	go run ./testdata/powercut -break unsynced-data
//	go run ./testdata/powercut -device -n 300
//
// Run it as root from the root of the repository; setup.sh fetches what the
// guests are made of. The exit code is 0 when every promise held, 1 when one was
// broken, 2 when the rig itself did not work. With -break and -lie, which test
// the rig, it is 0 when a broken promise was found.
//
// A seed repeats the plan of a run: packages, checkpoint intervals, what happens
// to unflushed writes, and roughly the moments of the cuts. The state of the
// machine at that moment also depends on its timing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"otad/testdata/boards"
)

// options are the flags.
type options struct {
	board string
	fs    string
	n     int
	seed  uint64
	otad  string
	cache string
	lie   bool
	fault string
	dir   string // only inside, see enclose
	slot  bool   // packages go straight to a second disk
}

func parse() options {
	var o options
	flag.StringVar(&o.board, "board", "host", "host, amd64, arm64 or armhf")
	flag.StringVar(&o.fs, "fs", "ext4", "ext4, btrfs (board host), f2fs (board armhf), xfs (boards amd64 and arm64) or vfat (boards with a guest)")
	flag.IntVar(&o.n, "n", 100, "how often the power is cut")
	flag.Uint64Var(&o.seed, "seed", 0, "repeats the plan of an earlier run; 0: a new one")
	flag.StringVar(&o.otad, "otad", "", "a binary for the board; none: built from the current directory")
	flag.StringVar(&o.cache, "cache", boards.DefaultCache(), "where setup.sh has put the guests")
	flag.BoolVar(&o.lie, "lie", false, "a disk that acknowledges a flush and does nothing, to test the rig")
	flag.StringVar(&o.fault, "break", "", "build an otad that breaks a rule, to test the rig: "+faultNames())
	flag.BoolVar(&o.slot, "device", false, "the packages are images that go straight to a second disk")
	flag.StringVar(&o.dir, "inside", "", "used by the program itself")
	flag.Parse()
	if o.seed == 0 {
		o.seed = rand.Uint64N(1 << 32)
	}
	return o
}

func main() {
	o := parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if o.dir == "" {
		os.Exit(outside(ctx, o))
	}
	os.Exit(inside(ctx, o))
}

// inside runs the campaign in the namespaces and returns the exit code.
func inside(ctx context.Context, o options) int {
	fmt.Printf("%s, %s, %d power cuts, seed %d\n", o.board, o.fs, o.n, o.seed)
	r := newReport()
	err := campaignOf(ctx, o, r)
	r.print(os.Stdout)
	sabotaged := o.lie || o.fault != ""
	switch {
	case err == nil && sabotaged:
		fmt.Println("  NOTHING WAS FOUND, although something is broken")
		return 1
	case err == nil:
		fmt.Println("  every promise was kept")
		return 0
	case !errors.As(err, new(violation)):
		fmt.Printf("the rig failed: %v\n", err)
		return 2
	case sabotaged:
		fmt.Printf("  found, as it should be: %v\n", err)
		return 0
	default:
		fmt.Printf("VIOLATION: %v\n  again: -board %s -fs %s -n %d -seed %d\n", err, o.board, o.fs, o.n, o.seed)
		return 1
	}
}

func campaignOf(ctx context.Context, o options, r *report) error {
	if err := bringUpLoopback(); err != nil {
		return err
	}
	fs, err := fileSystemOf(o.fs)
	if err != nil {
		return err
	}
	image, err := fs.format(o.dir)
	if err != nil {
		return err
	}
	d := newDisk(image)
	d.lies = o.lie
	l, err := net.Listen("tcp", originAddress)
	if err != nil {
		return err
	}
	defer l.Close()
	org := newOrigin()
	go org.serve(l)
	log, err := os.Create(filepath.Join(o.dir, "cycles.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c := &campaign{seed: o.seed, fs: fs, disk: d, origin: org, report: r, dir: o.dir, log: log}
	if o.slot {
		if c.slot, err = newSlot(o.dir, o.board); err == nil {
			err = c.slot.checkImages()
		}
		if err != nil {
			return err
		}
		c.invariants.toSlot = true
		defer func() {
			fmt.Printf("  the slot after a cut: %d times nothing mounts, %d times the package is whole, %d times what was there before it is\n",
				c.slot.tries[0], c.slot.tries[1], c.slot.tries[2])
			if o.board != "host" {
				fmt.Printf("  at %d boots the guest mounted it as xfs, which it was, and at %d not, which it was not\n", c.slot.seen[1], c.slot.seen[0])
			}
		}()
	}
	if c.board, c.limits, err = boardOf(ctx, o, fs, d, c.slot); err != nil {
		return err
	}
	if err := c.run(ctx, o.n); err != nil {
		keep := os.WriteFile(filepath.Join(o.dir, "disk.img"), d.durable, 0o600)
		if c.slot != nil {
			keep = errors.Join(keep, os.WriteFile(filepath.Join(o.dir, "slot.img"), c.slot.disk.durable, 0o600))
		}
		return errors.Join(err, keep)
	}
	return nil
}

func boardOf(ctx context.Context, o options, fs fileSystem, d *disk, s *slot) (board, limits, error) {
	if o.board == "host" {
		if fs.retriesForever {
			return nil, limits{}, fmt.Errorf("%s would hang this machine's kernel: use a board with a guest", fs.name)
		}
		b, err := newHostBoard(o.dir, o.otad, fs, d, s)
		return b, limits{boot: 10 * time.Second, idle: 15 * time.Second, poll: 2 * time.Millisecond}, err
	}
	b, err := newGuestBoard(ctx, o, fs.name, d, s)
	return b, limits{boot: 30 * time.Second, idle: 60 * time.Second, poll: 20 * time.Millisecond}, err
}

// originAddress is free: the rig has a network of its own.
const originAddress = "127.0.0.1:8080"
