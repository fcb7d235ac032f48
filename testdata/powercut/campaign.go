package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// violation is a broken promise of otad. The rig exists to find one.
type violation string

func (v violation) Error() string { return string(v) }

func violated(format string, args ...any) error { return violation(fmt.Sprintf(format, args...)) }

// campaign is a series of power cuts on one board. The disk keeps its content
// over all of them.
type campaign struct {
	seed   uint64
	limits limits
	fs     fileSystem
	disk   *disk
	board  board
	slot   *slot // nil: packages are files
	origin *origin
	report *report
	dir    string    // for logs and the disk image
	log    io.Writer // a line for each cycle

	invariants invariants
	requestLog requestLog
	packages   int // made so far
	writesPer  int // device writes from a boot to Ready, on average: the cuts are spread over these
}

// limits are the longest times that the rig waits for a board.
type limits struct {
	boot time.Duration // from the start of otad to an answer
	idle time.Duration // between two signs of progress
	poll time.Duration // between two questions to otad
}

// run runs n cycles of boot, download and cut between two boots without a cut.
// The first boot shows how many writes a download takes, the last one that
// nothing is broken.
func (c *campaign) run(ctx context.Context, n int) error {
	defer func() { _, _ = c.board.cut() }()
	for i := range n + 2 {
		begun := time.Now()
		p := c.plan(i, i > 0 && i <= n)
		if err := c.cycle(ctx, p); err != nil {
			return fmt.Errorf("cycle %d: %w", i, err)
		}
		if p.cutAt > 0 {
			c.report.cycle(time.Since(begun))
		}
	}
	return c.inspect(ctx)
}

// inspect checks the disk at the end. It mounts the disk here if this kernel
// supports the file system.
func (c *campaign) inspect(ctx context.Context) error {
	files, err := c.look(ctx)
	if err != nil {
		return fmt.Errorf("inspect the disk: %w", err)
	}
	for name := range files {
		if strings.HasSuffix(name, ".otad-part") || strings.HasSuffix(name, ".new") {
			return violated("%s was left behind", name)
		}
	}
	return c.invariants.checkFiles(files)
}

func (c *campaign) look(ctx context.Context) (map[string]string, error) {
	if c.fs.known() {
		return c.fs.read(c.dir, c.disk.durable)
	}
	c.disk.powerOn(0)
	defer c.disk.powerOff()
	found, err := c.board.boot(ctx, "1MiB")
	if err != nil {
		return nil, err
	}
	found.otad.Close()
	return found.files, nil
}

// plan holds the decisions before a cycle. They follow from the seed, the
// number of the cycle, and the number of writes in earlier cycles.
type plan struct {
	number     int
	rng        *rand.Rand
	checkpoint interval
	outcome    outcome
	cutAt      int // write with which the power fails; 0: not before Ready
	link       link
}

type interval struct {
	flag  string
	bytes int64
}

func (c *campaign) plan(number int, cut bool) plan {
	rng := rand.New(rand.NewPCG(c.seed, uint64(number)))
	// Small intervals put many commits into a small package.
	intervals := []interval{{"64KiB", 64 << 10}, {"128KiB", 128 << 10}, {"256KiB", 256 << 10}, {"1MiB", 1 << 20}}
	p := plan{number: number, rng: rng, checkpoint: intervals[rng.IntN(len(intervals))], outcome: outcome(rng.IntN(int(outcomes)))}
	if p.outcome == torn512 && !c.fs.tears {
		p.outcome = torn4K
	}
	if cut {
		p.cutAt = 1 + rng.IntN(2*c.writesPer)
		p.link = linkOf(rng)
	}
	return p
}

// cycle runs the board from power-on to the power cut, and applies the effects
// of the cut to the disk.
func (c *campaign) cycle(ctx context.Context, p plan) error {
	l := &powerCycle{campaign: c, plan: p, stage: "booting"}
	// The interesting writes of a failing link are those of the failure and of
	// the next try.
	soon := 1 + p.rng.IntN(writesOfTry)
	c.origin.use(p.link, p.rng.Uint64(), func() { c.disk.cutIn(soon) })
	if c.slot != nil {
		l.dead = c.slot.powerOn(c.disk, p.cutAt, p.rng)
	} else {
		l.dead = c.disk.powerOn(p.cutAt)
	}
	err := l.run(untilClosed(ctx, l.dead))
	if ctx.Err() != nil {
		err = ctx.Err() // the user interrupted the rig
	}
	c.disk.powerOff()
	if c.slot != nil {
		c.slot.disk.powerOff()
	}
	partials, cutErr := c.board.cut()
	fmt.Fprintf(c.log, "cycle %d: link %v, checkpoint %s, cut at write %d %s, %d writes, outcome %v: %v\n",
		p.number, p.link, p.checkpoint.flag, p.cutAt, l.stage, c.disk.writesSeen(), p.outcome, err)
	if err == nil {
		err = cutErr
	}
	var asked []*transfer
	if err == nil {
		asked, err = c.origin.transfers(originAddress)
	}
	if err == nil {
		err = c.requestLog.add(asked, partials, p.checkpoint.bytes, c.report)
	}
	if err != nil {
		return err
	}
	c.disk.applyOutcome(p.outcome, p.rng)
	if c.slot != nil {
		c.slot.disk.applyOutcome(outcome(p.rng.IntN(int(outcomes))), p.rng)
		if err := c.slot.check(&c.invariants); err != nil {
			return err
		}
	}
	if p.cutAt > 0 {
		c.report.cut(p.outcome, l.stage, p.link)
	}
	return nil
}

// recordWrites updates a running average.
func (c *campaign) recordWrites(writes int) {
	if c.writesPer == 0 {
		c.writesPer = writes
	}
	c.writesPer += (writes - c.writesPer) / 4
}

// untilClosed returns a context that ends with ctx or with the power: there is no
// answer from a board without power.
func untilClosed(ctx context.Context, dead <-chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		<-dead // closed at the end of the cycle at the latest
		cancel()
	}()
	return ctx
}
