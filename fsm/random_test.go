package fsm_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
	"otad/netio/origintest"
)

// go test ./fsm -run TestRandomDownloads -seed=N -runs=1 plays one download again.
var (
	firstSeed = flag.Uint64("seed", 0, "seed of the first random download; 0: from the clock")
	randomRun = flag.Int("runs", 0, "random downloads; 0: 1000, with -short 100")
)

// TestRandomDownloads downloads small packages over everything that an origin, a network, kill -9 and a bad disk do, in
// random order, and asks again whenever a job has failed. Whatever happens:
//
//   - Ready means bytes that are those of the digest, and what failed is never published;
//   - it ends, and it ends Ready, once the origin serves the right object and nothing goes wrong any more;
//   - no more than the retries are spent in a row without a whole interval of progress.
func TestRandomDownloads(t *testing.T) {
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
	const atATime = 8 // most of the time is spent in syncs
	for worker := range atATime {
		t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
			t.Parallel()
			for n := next.Add(1); n <= uint64(runs) && !t.Failed(); n = next.Add(1) {
				synctest.Test(t, func(t *testing.T) { randomDownload(t, seed+n-1) })
			}
		})
	}
}

// gamble is one random download.
type gamble struct {
	*rand.Rand
	t        *testing.T
	object   origintest.Object // the one that the job wants
	other    origintest.Object
	faulty   int   // requests that may go wrong: the first ones
	kills    int   // processes that are killed: the first ones
	fair     bool  // the origin serves the right object in the end
	interval int64 // bytes between two checkpoints
}

func randomDownload(t *testing.T, seed uint64) {
	g := &gamble{Rand: rand.New(rand.NewPCG(seed, 1)), t: t}
	var log bytes.Buffer
	defer func() {
		if t.Failed() {
			t.Logf("play it again: go test ./fsm -run TestRandomDownloads -seed=%d -runs=1\n%s", seed, log.String())
		}
	}()
	size := int64(100_000 * (1 + g.Float64()*g.Float64()*g.Float64()*29)) // 0.1 to 3 MB, most of them small
	g.object = origintest.Object{Size: size, Seed: seed}
	g.other = origintest.Object{Size: size, Seed: seed + 1<<32}
	if g.chance(3) {
		g.other.Size += g.Int64N(1000) - 500
	}
	g.faulty, g.kills, g.interval = g.IntN(12), g.IntN(6), 64<<10<<g.IntN(5)
	g.fair = !g.chance(10)

	o := newOrigin(t, origintest.Config{Object: g.object}, g.script()...)
	d := newDevice(t, o)
	d.log = slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
	d.cfg = fsm.Config{
		Checkpoint: g.interval, Retries: g.IntN(5), NetworkWait: time.Duration(g.IntN(2)) * time.Minute,
		Readback: g.chance(3), Jitter: g.Float64,
	}
	job := jobFor(o, g.object)
	if g.chance(3) {
		job.Size = 0
	}
	g.play(o, d, job)
}

func (g *gamble) chance(oneIn int) bool { return g.IntN(oneIn) == 0 }

// play boots otad as often as it is killed, asks for the job as often as it fails, and judges.
func (g *gamble) play(o *origintest.Origin, d *device, job journal.Job) {
	lives, posts := 0, 0
	var p *process
	boot := func() {
		if lives < g.kills {
			d.killAt = 1 + g.IntN(60)
		}
		lives++
		d.source = func(next fsm.Source) fsm.Source { return &patience{Source: next, g: g, retries: d.cfg.Retries} }
		p = d.boot()
	}
	for boot(); ; {
		if s := p.Snapshot().State; s == fsm.Idle || s == fsm.Failed {
			time.Sleep(time.Minute) // its user does not ask again at once
			posts++
			job.URL = o.URLFor(fmt.Sprintf("/package.bin?signature=%d", posts))
			g.post(p, job)
		}
		s, alive := p.settle()
		if !alive {
			g.damage(d)
			boot()
			continue
		}
		p.audit(s)
		if s.State == fsm.Ready || g.t.Failed() {
			return
		}
		if !g.fair && len(o.Requests()) > g.faulty && strings.Contains(s.Error, "_MISMATCH") {
			return // the right object is not to be had
		}
		if posts > 2*(g.faulty+g.kills)+5 {
			g.t.Errorf("not ready after %d posts: %s", posts, s.Error)
			return
		}
		if g.chance(3) {
			p.end()
			g.damage(d)
			boot()
		}
	}
}

// post asks for the job. A process that is killed answers nothing.
func (g *gamble) post(p *process, job journal.Job) {
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	if err := p.Start(ctx, job); err != nil && p.ctx.Err() == nil {
		g.t.Errorf("start: %v", err)
	}
}

// patience counts the requests without progress: the first one, the retries, and one more each time the job started
// over, which it does at most once for each reason.
type patience struct {
	fsm.Source
	g       *gamble
	retries int
	url     string
	mark    int64 // offset at which the count began
	count   int
	over    int // times started over
}

func (p *patience) Open(ctx context.Context, r netio.Request) (fsm.Body, error) {
	if p.url != r.URL { // another post
		p.url, p.mark, p.count, p.over = r.URL, r.Offset, 0, 0
	}
	if r.Offset-p.mark >= p.g.interval {
		p.mark, p.count = r.Offset, 0
	}
	if p.count++; p.count > 1+p.retries+p.over {
		p.g.t.Errorf("request %d in a row without progress, from byte %d, with %d retries", p.count, r.Offset, p.retries)
	}
	body, err := p.Source.Open(ctx, r)
	if f, ok := err.(*netio.Error); ok {
		switch f.Kind {
		case netio.Changed, netio.Unsatisfiable:
			p.over++
			p.mark = 0 // from here on it is another object's progress
		case netio.Offline:
			p.count--
		}
	}
	return body, err
}
