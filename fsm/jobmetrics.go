package fsm

import (
	"math"
	"time"

	"otad/journal"
	"otad/metrics"
)

// What the metrics show of the job and of the last one. It comes from the
// journal, because a board's update ends in a reboot.

// lastAfter returns how the job that ended last has ended, once a transition has
// turned the record old into now.
func lastAfter(old, now journal.Record) journal.Last {
	switch from, to := stateOf(old), stateOf(now); {
	case to == Ready && from != Ready: // else it is Ready again, see New
		return journal.Last{Result: string(metrics.Succeeded), Seconds: now.Stats.Seconds, Size: jobWithSize(now).Size}
	case to == Failed:
		return journal.Last{Result: string(metrics.Failed), Code: now.Code, Seconds: now.Stats.Seconds, Size: jobWithSize(old).Size}
	case to == Idle && from.Active():
		return journal.Last{Result: string(metrics.Cancelled), Seconds: old.Stats.Seconds, Size: jobWithSize(old).Size}
	}
	return lastJob(old)
}

// lastJob returns how the job that ended last has ended. A record of an otad
// that did not store this has the end of its own job alone.
func lastJob(rec journal.Record) journal.Last {
	if state := stateOf(rec); rec.Last.Result == "" && (state == Ready || state == Failed) {
		return lastAfter(journal.Record{Job: rec.Job, Validator: rec.Validator}, rec)
	}
	return rec.Last
}

// jobMetrics returns what a scrape shows of the job. Any goroutine may call it;
// it waits for no write.
func (u *Updater) jobMetrics() metrics.Job {
	rec, cps, now := u.journal.record(), u.journal.checkpoints(), u.report.jobStats()
	last := lastJob(rec)
	return metrics.Job{Package: rec.Job.Name, Version: rec.Job.Version, Retries: now.Retries, Resumes: now.Resumes, Received: now.Received,
		FutileStarts: futileStarts(rec, cps), LastProgress: float64(now.Progress.Unix), ProgressAge: u.report.progressAge(),
		LastResult: metrics.Result(last.Result), LastCode: last.Code, LastSeconds: float64(last.Seconds),
		NeededBytes: u.neededBytes(rec, newestOffset(cps))}
}

// futileStarts returns how often in a row otad was started without a checkpoint
// after it, see restartCounter.
func futileStarts(rec journal.Record, cps []journal.Checkpoint) int {
	if len(cps) > 0 && cps[0].Seq != rec.RestartsSeq {
		return 0
	}
	return rec.Restarts
}

// neededBytes returns how many bytes have to be free for the rest of a failed
// job, and else for a package as large as the last one. What otad may delete to
// make room is not needed. It returns NaN while no size is known, and while a
// package is fetched: its room is taken already.
func (u *Updater) neededBytes(rec journal.Record, durable int64) float64 {
	size := rec.Last.Size
	switch state := stateOf(rec); {
	case state == Failed:
		size = jobWithSize(rec).Size - durable
	case state == Ready:
		size, rec.Job.Name = jobWithSize(rec).Size, ""
	case state.Active():
		return math.NaN()
	}
	if size <= 0 {
		return math.NaN()
	}
	need := float64(size) + float64(u.cfg.MinFree)
	for _, p := range removable(u.dir, rec, u.cfg.Keep) {
		need -= float64(p.Size)
	}
	return max(0, need)
}

// jobStats returns what the job has cost until now, over all processes.
func (r *reporter) jobStats() journal.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.statsNow()
}

// statsNow is jobStats for those who hold the lock.
func (r *reporter) statsNow() journal.Stats {
	s := r.stats
	if !r.active.IsZero() {
		s.Seconds += int64(time.Since(r.active) / time.Second)
	}
	return s
}

// progressNow returns the time of a progress that is made now.
func (r *reporter) progressNow() journal.Progress {
	return journal.Progress{Unix: time.Now().Unix(), Uptime: int64(r.uptime() / time.Second), Boot: r.boot}
}

// progressAge returns the seconds since the last progress, which are those of
// this boot when the progress was in an earlier one. It returns NaN unless a
// download is under way, or has failed and is started again by itself.
func (r *reporter) progressAge() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shown.State != Downloading && r.next.IsZero() {
		return math.NaN()
	}
	age := r.uptime().Seconds()
	if last := r.stats.Progress; last.Boot == r.boot {
		age -= float64(last.Uptime)
	}
	return max(0, age)
}
