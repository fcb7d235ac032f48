package fsm_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// go test ./fsm -run TestRandomDownloads -seed=N -runs=1 plays one download
// again.
var (
	firstSeed = flag.Uint64("seed", 0, "seed of the first random download; 0: from the clock")
	long      = flag.Bool("long", false, "play more months in the field")
	randomRun = flag.Int("runs", 0, "random downloads; 0: 1000, with -short 100")
)

// TestRandomDownloads downloads small packages over everything that an origin, a
// network, kill -9 and a bad disk do, in random order. A job that has failed is
// posted again. Whatever happens:
//
//   - the invariants hold at every change of the state directory;
//   - Ready means bytes that are those of the digest, and what failed is never
//     published;
//   - it ends, and it ends Ready, once the origin serves the right object and
//     nothing goes wrong any more;
//   - no more than the retries are spent in a row without a whole interval of
//     progress.
func TestRandomDownloads(t *testing.T) {
	t.Parallel()
	seed, runs := *firstSeed, *randomRun
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) >> 10
	}
	if runs == 0 {
		runs = 1000
		if testing.Short() {
			runs = 100
		}
	}
	t.Logf("seeds from %d on", seed)
	var next atomic.Uint64
	for worker := range atATime {
		t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
			t.Parallel()
			for n := next.Add(1); n <= uint64(runs) && !t.Failed(); n = next.Add(1) {
				synctest.Test(t, func(t *testing.T) { randomDownload(t, seed+n-1) })
			}
		})
	}
}

// refusesTheObject matches the errors of an object that is not the job's: its
// bytes are others, or more or fewer.
var refusesTheObject = regexp.MustCompile("_MISMATCH|longer than announced|the body ended at|instead of the package")

// randomCase is one random download.
type randomCase struct {
	*rand.Rand
	t        *testing.T
	rig      *rig
	other    origintest.Object // not the one that the job is for
	faulty   int               // requests that may go wrong: the first ones
	kills    int               // processes that are killed: the first ones
	fair     bool              // the origin serves the right object in the end
	interval int64             // bytes between two checkpoints
	unsized  bool              // the origin never tells the size
}

func randomDownload(t *testing.T, seed uint64) {
	c := &randomCase{Rand: rand.New(rand.NewPCG(seed, 1)), t: t}
	var log bytes.Buffer
	defer func() {
		if t.Failed() {
			t.Logf("play it again: go test ./fsm -run TestRandomDownloads -seed=%d -runs=1\n%s", seed, log.String())
		}
	}()
	size := int64(100_000 * (1 + 29*c.Float64()*c.Float64()*c.Float64()*c.Float64()*c.Float64())) // 0.1 to 3 MB, most of them small
	object := sample(seed, size)
	if c.chance(3) {
		size += c.Int64N(1000) - 500
	}
	c.other = sample(seed+1, size)
	c.faulty, c.kills, c.interval = c.IntN(12), c.IntN(6), 64<<10<<c.IntN(5)
	c.fair = !c.chance(10)

	c.rig = newBulkRig(t, origintest.Config{Object: object}, c.script(object.Len())...)
	c.rig.log = slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
	cfg := &c.rig.cfg
	cfg.Checkpoint, cfg.Retries, cfg.NetworkWait = c.interval, c.IntN(5), time.Duration(c.IntN(2))*time.Minute
	cfg.Readback, cfg.Jitter = c.chance(3), c.Float64
	job := c.rig.job()
	if c.chance(3) && !c.unsized {
		job.Size = 0
	}
	c.play(job)
}

func (c *randomCase) chance(oneIn int) bool { return c.IntN(oneIn) == 0 }

// play boots otad as often as it is killed, posts the job as often as it fails,
// and checks how it ends.
func (c *randomCase) play(job journal.Job) {
	boots, posts, origin := 0, 0, c.rig.origin
	var p *process
	boot := func() {
		if boots < c.kills {
			c.rig.killAt = 1 + c.IntN(60)
		}
		boots++
		c.rig.source = func(next fsm.Source) fsm.Source { return &retryCount{Source: next, c: c, retries: c.rig.cfg.Retries} }
		p = c.rig.boot()
	}
	for boot(); ; {
		if s := p.Snapshot().State; s == fsm.Idle || s == fsm.Failed {
			time.Sleep(time.Minute) // its user does not ask again at once
			posts++
			job.URL = origin.URLFor(fmt.Sprintf("/package.bin?signature=%d", posts))
			c.post(p, job)
		}
		s, alive := p.settle()
		if !alive {
			c.damage()
			boot()
			continue
		}
		p.audit(s)
		if s.State == fsm.Ready || c.t.Failed() {
			return
		}
		if !c.fair && len(origin.Requests()) > c.faulty && refusesTheObject.MatchString(s.Error) {
			return // the right object is not to be had
		}
		if posts > 2*(c.faulty+c.kills)+5 {
			c.t.Errorf("not ready after %d posts: %s", posts, s.Error)
			return
		}
		if c.chance(3) {
			p.end()
			c.damage()
			boot()
		}
	}
}

// post asks for the job. A process that is killed answers nothing.
func (c *randomCase) post(p *process, job journal.Job) {
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	if err := p.Start(ctx, job); err != nil && p.ctx.Err() == nil {
		c.t.Errorf("start: %v", err)
	}
}
