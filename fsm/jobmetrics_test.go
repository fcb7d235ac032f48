package fsm_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// lastResult returns what a scrape shows of the last job: "succeeded" or
// "failed DISK_FULL", and its seconds.
func (p *process) lastResult() string {
	p.rig.t.Helper()
	scrape := exposition(p.metrics)
	var ones []string
	for line := range strings.Lines(scrape) {
		var code, result string
		if n, _ := fmt.Sscanf(line, `ota_last_job_result{code=%q,result=%q} 1`, &code, &result); n == 2 && strings.HasSuffix(line, " 1\n") {
			ones = append(ones, strings.TrimSuffix(result+" "+code, " NONE"))
		}
	}
	return fmt.Sprint(strings.Join(ones, " and "), " in ", metricIn(scrape, "ota_last_job_duration_seconds"), " s")
}

func (p *process) wantResult(want string) {
	p.rig.t.Helper()
	if got := p.lastResult(); got != want {
		p.rig.t.Errorf("the last job: %s, want %s", got, want)
	}
}

// Whatever comes after the end of a job, the metrics show how it ended, and in
// how much time, until another one ends.
func TestEndOfTheLastJobOutlivesItsJobAndItsProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, on(1).ResetAt(interval+5), on(3).StallAt(interval+5), on(4).Status(404))
		r.boot()
		r.wantResult("none in NaN s")
		r.start(r.job())
		r.fetched()
		r.wantResult("succeeded in 1 s") // the wait before the retry
		r.kill()
		r.boot()
		r.wantResult("succeeded in 1 s")
		r.start(r.other())
		synctest.Wait()
		r.wantResult("succeeded in 1 s") // of the job before
		time.Sleep(3 * time.Second)
		must(t, r.Reset(t.Context()))
		r.wantResult("cancelled in 3 s")
		r.origin.Release()
		r.start(r.other())
		r.failed("DOWNLOAD_FAILED")
		r.wantResult("failed DOWNLOAD_FAILED in 0 s")
		r.end()
		r.boot()
		r.wantResult("failed DOWNLOAD_FAILED in 0 s")
		must(t, r.Reset(t.Context()))
		r.wantResult("failed DOWNLOAD_FAILED in 0 s")
		r.start(r.other())
		r.await(fsm.Ready)
		must(t, r.Reset(t.Context()))
		r.kill()
		r.boot()
		r.wantResult("succeeded in 0 s")
	})
}

// A process is killed at each change of the state directory, from the start of
// the job on. The next one shows the end that the journal holds.
func TestEndOfTheLastJobIsTheJournals(t *testing.T) {
	const changes = 24
	for at := 1; at <= changes; at++ {
		run(t, fmt.Sprint(at), func(t *testing.T) {
			r := newRig(t)
			r.killAt = at
			p := r.boot()
			if p.Start(p.ctx, r.job()) == nil {
				p.settle()
			}
			p.end()
			r.open()
			want := "none in NaN s"
			if r.found.record.State == string(fsm.Ready) {
				want = "succeeded in 0 s"
			}
			r.wantResult(want)
		})
	}
}

// A journal of an otad that did not store how jobs ended has the end of its own.
func TestEndOfTheJobOfAnOlderOtad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, on(1).Status(404)).begin()
		r.failed("DOWNLOAD_FAILED")
		r.end()
		r.edit(func(j *journal.Journal) error {
			_, err := j.Update(func(rec *journal.Record) { rec.Last, rec.Stats.Seconds = journal.Last{}, 7 })
			return err
		})
		r.boot()
		r.wantResult("failed DOWNLOAD_FAILED in 7 s")
		must(t, r.Reset(t.Context()))
		r.wantResult("failed DOWNLOAD_FAILED in 7 s")
	})
}

func TestSeriesOfAJobAreThereAgainInTheNextProcessAndGoWithIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, on(1).ResetEarly(), on(2).ResetAt(interval+5), on(3).StallAt(3*interval))
		r.boot()
		const info = `ota_job_info{package="u.bin",version="1.2.3"}`
		wants := func(retries, resumes, received, known float64) {
			t.Helper()
			got := [4]float64{r.metric("ota_job_retries"), r.metric("ota_job_resumes"), r.metric("ota_job_received_bytes"), r.metric(info)}
			if got != [4]float64{retries, resumes, received, known} {
				t.Errorf("retries, resumes, received bytes and the job are %v, want %v %v %v %v", got, retries, resumes, received, known)
			}
		}
		wants(0, 0, 0, -1)
		r.start(r.job())
		r.until(func(s fsm.Snapshot) bool { return s.Durable >= 2*interval })
		wants(2, 1, 3*interval, 1)
		r.end()
		r.boot()
		r.fetched()
		wants(2, 2, float64(r.object.Len()), 1)
		r.end()
		r.boot()
		wants(2, 2, float64(r.object.Len()), 1)
		must(t, r.Reset(t.Context()))
		wants(0, 0, 0, -1)
	})
}

// The age of the last progress is that of the board's uptime: a clock that jumps
// changes nothing. It goes on in the next process of the same boot, and after a
// reboot with the uptime.
func TestAgeOfTheLastProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		booted := time.Now().Add(-100 * time.Second)
		r := newRig(t, span(1, 3).StallAt(2*interval))
		r.cfg.TryAgain = fsm.TryAgain{First: time.Hour, Longest: time.Hour}
		r.cfg.Boot, r.cfg.Uptime = "one", func() time.Duration { return time.Since(booted) }
		wantAge := func(want float64) {
			t.Helper()
			if got := r.metric("ota_download_progress_age_seconds"); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Errorf("the age of the last progress is %v s, want %v", got, want)
			}
		}
		r.boot()
		wantAge(math.NaN())
		r.start(r.job())
		synctest.Wait()
		wantAge(0)
		time.Sleep(30 * time.Second)
		wantAge(30)
		last := float64(time.Now().Unix() - 30)
		r.kill()
		time.Sleep(5 * time.Second)
		r.boot()
		wantAge(35)
		if got := r.metric("ota_download_last_progress_timestamp_seconds"); got != last {
			t.Errorf("the last progress was at %v, want %v", got, last)
		}
		r.kill()
		r.cfg.Boot, booted = "two", time.Now().Add(-4*time.Second)
		r.boot()
		wantAge(4)
		time.Sleep(3 * time.Second)
		wantAge(7)
		r.origin.Release()
		r.fetched()
		wantAge(math.NaN())
		if got, want := r.metric("ota_download_last_progress_timestamp_seconds"), float64(time.Now().Unix()); got != want {
			t.Errorf("the last progress was at %v, want %v", got, want)
		}
	})
}

// A job that is posted again begins anew, and so does that of an otad that did
// not store the time.
func TestAgeOfTheLastProgressBeginsAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, on(1).Status(404), span(2, 3).StallAt(0)).begin()
		r.failed("DOWNLOAD_FAILED")
		time.Sleep(time.Hour)
		r.start(r.job())
		time.Sleep(7 * time.Second)
		if got := r.metric("ota_download_progress_age_seconds"); got != 7 {
			t.Errorf("%v s after the job was posted again, want 7", got)
		}
		r.kill()
		r.edit(func(j *journal.Journal) error {
			_, err := j.Update(func(rec *journal.Record) { rec.Stats.Progress = journal.Progress{} })
			return err
		})
		begun := time.Now().Add(-time.Hour)
		r.cfg.Boot, r.cfg.Uptime = "one", func() time.Duration { return time.Since(begun) }
		r.boot()
		time.Sleep(3 * time.Second)
		if got := r.metric("ota_download_progress_age_seconds"); got != 3 {
			t.Errorf("%v s after the first start of an otad that counts them, want 3", got)
		}
	})
}

// A package that is verified again, because its file was touched, is no new end.
func TestPackageThatIsVerifiedAgainIsNoNewEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		r.end()
		must(t, os.Chtimes(r.path("u.bin"), time.Time{}, time.Unix(1, 0)))
		r.edit(func(j *journal.Journal) error {
			_, err := j.Update(func(rec *journal.Record) { rec.Stats.Seconds = 99 })
			return err
		})
		r.boot()
		r.fetched()
		if n := r.metric(`ota_verifications_total{result="match"}`); n != 1 {
			t.Errorf("%v verifications, want 1", n)
		}
		r.wantResult("succeeded in 0 s")
	})
}

// A failed job that is started again by itself has an age, one that waits for
// somebody has none.
func TestAgeOfTheLastProgressOfAFailedJob(t *testing.T) {
	for name, tt := range map[string]struct {
		script *origintest.Rule
		change func(*journal.Job)
		want   float64
	}{
		"tried again": {always().Status(404), func(*journal.Job) {}, 60},
		"left alone":  {always(), func(job *journal.Job) { job.MD5 = strings.Repeat("0", 32) }, math.NaN()},
	} {
		run(t, name, func(t *testing.T) {
			r := forever(newRig(t, tt.script))
			job := r.job()
			tt.change(&job)
			r.boot()
			r.start(job)
			r.failed("")
			time.Sleep(time.Minute)
			if got := r.metric("ota_download_progress_age_seconds"); got != tt.want && !math.IsNaN(tt.want) || math.IsNaN(tt.want) != math.IsNaN(got) {
				t.Errorf("%v s, want %v", got, tt.want)
			}
		})
	}
}

func TestStartsWithoutProgressAreShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const starts = 3
		r := newRig(t, span(1, starts+2).StallAt(interval+5))
		r.held(interval + 5)
		for range starts {
			r.boot()
			synctest.Wait()
			r.kill()
		}
		r.open()
		if got := r.metric("ota_job_starts_without_progress"); got != starts {
			t.Errorf("%v starts without progress are shown after %d crashes", got, starts)
		}
		r.end()
		r.edit(func(j *journal.Journal) error { // as if a checkpoint had come since
			_, err := j.Update(func(rec *journal.Record) { rec.RestartsSeq-- })
			return err
		})
		r.open()
		if got := r.metric("ota_job_starts_without_progress"); got != 0 {
			t.Errorf("%v starts without progress are shown after a checkpoint", got)
		}
		r.boot()
		r.origin.Release()
		r.fetched()
		if got := r.metric("ota_job_starts_without_progress"); got != 0 {
			t.Errorf("%v starts without progress are shown for a job that is Ready", got)
		}
	})
}

func TestSpaceThatTheNextPackageNeeds(t *testing.T) {
	const minFree = 1 << 20
	bubble(t, func(t *testing.T) {
		r := newRig(t, on(4).StallAt(interval+5), on(5).Status(404))
		r.cfg.MinFree, r.cfg.Keep = minFree, 1
		r.boot()
		wants := func(want float64) {
			t.Helper()
			if got := r.metric("ota_storage_needed_bytes"); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Errorf("%v bytes are needed, want %v", got, want)
			}
		}
		size := float64(r.object.Len())
		wants(math.NaN())
		r.publish("a.bin")
		wants(size + minFree)
		r.publish("b.bin", "c.bin")
		wants(max(0, size+minFree-2*size)) // otad deletes a and b for it
		must(t, r.Reset(t.Context()))
		r.end()
		r.cfg.Keep = fsm.KeepAll
		r.boot()
		wants(size + minFree)
		r.start(r.job())
		synctest.Wait()
		wants(math.NaN()) // its space is reserved
		r.kill()
		r.boot()
		r.failed("DOWNLOAD_FAILED")
		wants(size - interval + minFree)
	})
}

// A name that is no UTF-8 cannot be in the journal, and one that a scraper might
// trip over is quoted.
func TestNameOfTheJobIsALabel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().StallAt(0))
		r.boot()
		r.start(r.named("größe 1.2.bin"))
		synctest.Wait()
		if r.metric(`ota_job_info{package="größe 1.2.bin",version="1.2.3"}`) != 1 {
			t.Errorf("no series of the job:\n%s", exposition(r.metrics))
		}
	})
}
