package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"otad/testdata/otadrun"
)

// powerCycle is one time of the board under power.
type powerCycle struct {
	*campaign
	plan
	dead  <-chan struct{} // closed when the power fails
	stage string          // progress, for the report
}

// run boots, checks the files and the first response, and downloads until the
// power fails or the plan demands a cut.
func (l *powerCycle) run(ctx context.Context) error {
	found, err := l.board.boot(ctx, l.checkpoint.flag)
	if err != nil {
		return l.unlessDead(fmt.Errorf("boot: %w", err))
	}
	defer found.otad.Close()
	l.report.quarantine(found.files)
	if err := l.invariants.checkFiles(found.files); err != nil {
		return err
	}
	if found.xfs != nil {
		if err := l.slot.checkGuest(*found.xfs); err != nil {
			return err
		}
	}
	a, err := l.firstAnswer(ctx, found.otad)
	if err != nil {
		return l.unlessDead(err)
	}
	l.report.found(a.Data.State)
	if err := l.invariants.checkFirstResponse(a); err != nil {
		return l.unlessDead(err)
	}
	if err := l.work(ctx, found.otad); err != nil {
		return l.unlessDead(err)
	}
	return nil
}

// work brings one package to Ready, or two: the cut comes right after Ready was
// reported, or in the middle of the next job.
func (l *powerCycle) work(ctx context.Context, o *otadrun.Client) error {
	for packages := 1; ; packages++ {
		l.stage = "downloading"
		if err := l.untilReady(ctx, o); err != nil {
			return err
		}
		l.stage = "after Ready"
		l.report.ready++
		if packages == 1 && l.link == fine {
			l.recordWrites(l.disk.writesSeen())
			if l.slot != nil {
				l.slot.recordWrites()
			}
		}
		if l.cutAt == 0 {
			return l.untilCallbacks(ctx)
		}
		if packages == 2 || l.rng.IntN(2) == 0 {
			return nil
		}
	}
}

// unlessDead returns err unless the power cut explains it. Reports of otad
// while its disk was failing do not count, except Ready, which always counts.
// The next boot checks it.
func (l *powerCycle) unlessDead(err error) error {
	select {
	case <-l.dead:
		return nil
	default:
		return err
	}
}

// firstAnswer waits until otad answers.
func (l *powerCycle) firstAnswer(ctx context.Context, o *otadrun.Client) (otadrun.Response, error) {
	for deadline := time.Now().Add(l.limits.boot); ; {
		a, err := o.Progress(ctx)
		if err == nil {
			return a, nil
		}
		if time.Now().After(deadline) {
			return a, violated("otad does not answer after the boot: %v", err)
		}
		if !l.pause(ctx) {
			return a, ctx.Err()
		}
	}
}

// untilReady posts a job if otad has none, and waits until it is Ready.
func (l *powerCycle) untilReady(ctx context.Context, o *otadrun.Client) error {
	if l.invariants.job == nil {
		if err := l.post(ctx, o); err != nil {
			return err
		}
	}
	moved, last := time.Now(), int64(-1)
	for {
		a, askErr := o.Progress(ctx)
		if askErr == nil {
			if ready, err := l.invariants.observe(a); ready || err != nil {
				return err
			}
			if a.Data.Durable != last {
				moved, last = time.Now(), a.Data.Durable
			}
		}
		if time.Since(moved) > l.limits.idle {
			return violated("otad makes no progress: %+v, %v", a.Data, askErr)
		}
		if !l.pause(ctx) {
			return ctx.Err()
		}
	}
}

// untilCallbacks waits for the callbacks, which may be late but not get lost:
// at least one for each package that became Ready.
func (l *powerCycle) untilCallbacks(ctx context.Context) error {
	deadline := time.Now().Add(l.limits.idle)
	for l.origin.callbacks("toInstall") < l.report.ready {
		if time.Now().After(deadline) {
			return violated("%d packages became Ready, %d callbacks have reported it", l.report.ready, l.origin.callbacks("toInstall"))
		}
		if !l.pause(ctx) {
			return ctx.Err()
		}
	}
	return nil
}

// post posts the next package. From the moment of the request, a cut may leave
// either job behind.
func (l *powerCycle) post(ctx context.Context, o *otadrun.Client) error {
	l.packages++
	p := newPackage(l.seed, l.packages, packageSize(l.rng), fmt.Sprintf("update-%d.bin", l.rng.IntN(2)))
	output := ""
	if l.slot != nil {
		p, output = newPackageOf(l.packages, l.slot.next(l.packages).body, p.name), slotName
	}
	l.origin.offer(p)
	l.invariants.jobPosted(p)
	r, err := o.Post(ctx, otadrun.Job{Version: p.version, URL: "http://" + l.board.host() + "/" + p.version,
		Name: p.name, Size: int64(len(p.body)), MD5: p.md5, Output: output})
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return violated("otad refuses %s: %v", p.version, err)
	}
	l.invariants.jobAccepted()
	return nil
}

// packageSize prefers small packages: a cycle then has more events of interest.
func packageSize(rng *rand.Rand) int64 {
	if rng.IntN(8) == 0 {
		return 8 << 20
	}
	return 1<<20 + rng.Int64N(3<<20)
}

// pause waits a moment. It returns false if the power failed or ctx ended.
func (l *powerCycle) pause(ctx context.Context) bool {
	select {
	case <-time.After(l.limits.poll):
		return true
	case <-ctx.Done():
		return false
	}
}
