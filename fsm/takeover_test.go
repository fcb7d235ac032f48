package fsm_test

import (
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/netio/origintest"
)

// TestHeldBytesAreGivenUpOnlyForAFirstInterval: an origin that ignores the range
// and breaks off has proved nothing. One that goes on replaces what was held.
func TestHeldBytesAreGivenUpOnlyForAFirstInterval(t *testing.T) {
	const at = 2*interval + 5
	for _, tt := range []struct {
		name  string
		after int64 // bytes that the 200 gives before it breaks off
		keeps bool
	}{
		{"nothing", 0, true},
		{"half an interval", interval / 2, true},
		{"all but a byte", interval - 1, true},
		{"an interval", interval, false},
		{"more", interval + 99, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, origintest.On(1).StallAt(at),
					origintest.On(2).IgnoreRange().Header("ETag", `"other"`).ResetAfter(tt.after))
				r.held(at)
				r.boot()
				time.Sleep(500 * time.Millisecond) // the first retry comes after 1 s
				synctest.Wait()
				want := int64(interval)
				if tt.keeps {
					want = at
				}
				if s := r.Snapshot(); s.Durable < want || tt.keeps && s.Durable != at {
					t.Errorf("%d bytes are durable, want %d", s.Durable, want)
				}
				r.kill() // what the next start finds is the same
				r.boot()
				if s := r.Snapshot(); s.Durable < want || tt.keeps && s.Durable != at {
					t.Errorf("after a cut %d bytes are durable, want %d", s.Durable, want)
				}
				r.fetched()
			})
		})
	}
}

// A slow link fills many small blocks before an interval is there, if each flush
// ends one, and the transfer has six.
func TestSlowLinkFillsTheFirstIntervalOfABodyThatTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(2*interval+5),
			origintest.From(2).IgnoreRange().Header("ETag", `"other"`).Drip(200, time.Second))
		r.cfg.Flush = 30 * time.Second
		r.held(2*interval + 5)
		p := r.boot() // an interval takes 328 s
		p.until(func(s fsm.Snapshot) bool { return s.Durable == interval })
		r.fetched()
		if n := len(r.origin.Requests()); n != 2 {
			t.Errorf("%d requests", n)
		}
		if n := len(p.checkpoints()); n > 4+6+44+6 { // of the intervals, the first flushes, and one each 30 s
			t.Errorf("%d checkpoints", n)
		}
	})
}

// A URL of another origin comes while a body that takes over has less than an
// interval: it may lead to one that goes on.
func TestNewURLEndsABodyThatWouldTakeOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at),
			origintest.On(2).IgnoreRange().Header("ETag", `"other"`).Drip(1000, time.Second))
		r.held(at)
		p := r.boot()
		time.Sleep(10 * time.Second)
		job := r.job()
		job.URL = r.origin.URLFor("/mirror.bin") + "?signature=" + secret
		p.start(job)
		r.fetched()
		if got := p.counts("ota_download_restarts_total"); got != "" {
			t.Errorf("started over: %s", got)
		}
		if last := r.origin.Requests()[2]; last.Range != fmt.Sprintf("bytes=%d-", at) {
			t.Errorf("the new URL is requested from %s", last.Range)
		}
	})
}

// Each answer that breaks off before it takes over leaves blocks behind, and
// there are six.
func TestAnswersThatDoNotTakeOverGiveTheirBlocksBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at),
			origintest.Span(2, 21).IgnoreRange().Header("ETag", `"other"`).ResetAfter(interval-1))
		r.cfg.Retries = 20
		r.held(at)
		p := r.boot()
		r.fetched()
		if got := p.counts("ota_download_restarts_total"); got != "" {
			t.Errorf("started over: %s", got)
		}
	})
}

// Three answers that would be believed are not, when one of the retries between
// them was answered otherwise.
func TestOriginIsBelievedOnlyForAnswersInARow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at), origintest.From(2).IgnoreRange().UntilClose(), origintest.On(3).ResetEarly())
		r.held(at)
		r.boot()
		s := r.failed("DOWNLOAD_FAILED: HTTP 200 with a body of unknown length")
		if n := len(r.origin.Requests()); n != 5 || s.Durable != at {
			t.Errorf("%d requests, %d bytes are held", n, s.Durable)
		}
	})
}

// TestCutNeverFindsNeitherTheHeldBytesNorTheirReplacement: at each change of the
// state directory the power goes, and the next start holds one of the two.
func TestCutNeverFindsNeitherTheHeldBytesNorTheirReplacement(t *testing.T) {
	const at = 2*interval + 5
	took, alive := 0, false
	for kill := 1; !alive; kill++ {
		synctest.Test(t, func(t *testing.T) {
			// The second request's If-Match fails, and the third one has none.
			r := newRig(t, origintest.On(1).Replace(sample(2, 5*interval+1234)).StallAt(at), origintest.On(3).IgnoreRange().StallAt(interval))
			r.held(at)
			r.killAt = kill
			p := r.boot()
			synctest.Wait()
			alive = !p.killer.isKilled()
			r.kill()
			r.origin.Release()
			r.open() // before it goes on by itself
			switch s := r.Snapshot(); {
			case s.Durable == interval:
				took++
			case s.Durable != at || alive:
				t.Errorf("killed at change %d: %d bytes are held", kill, s.Durable)
			}
			r.boot()
			r.fetched()
			if first := r.requests()[0]; first.Offset != r.found.durable {
				t.Errorf("killed at change %d: the journal claims %d bytes, and the request is from %d", kill, r.found.durable, first.Offset)
			}
		})
	}
	if took < 4 { // the copy, its sync, its claim, and what comes after
		t.Errorf("only %d kills found the replacement", took)
	}
}

// TestDiskThatDoesNotTakeAReplacement: where there is no room for both, the held
// bytes go first, and else an error costs none of them.
func TestDiskThatDoesNotTakeAReplacement(t *testing.T) {
	const at = 2*interval + 5
	for _, tt := range []struct {
		name string
		op   string
		nth  int
		err  error
		held int64
	}{
		{"nothing fails", "", 1, nil, interval},
		{"no room for both", "write", 1, syscall.ENOSPC, interval},
		{"a file of that length is not possible", "write", 1, syscall.EFBIG, interval},
		{"a write fails", "write", 1, syscall.EIO, at},
		{"a sync fails", "sync", 1, syscall.EIO, at},
		{"the journal cannot be written", "replace", 1, syscall.EIO, at},
		{"the copy cannot be written", "write", 2, syscall.EIO, interval},
		{"the copy cannot be synced", "sync", 2, syscall.EIO, interval},
	} {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, origintest.On(1).Replace(sample(2, 5*interval+1234)).StallAt(at), origintest.On(3).IgnoreRange().StallAt(interval))
			r.held(at)
			r.failOnce(tt.op, tt.nth, tt.err)
			r.boot()
			synctest.Wait()
			if s := r.Snapshot(); s.Durable != tt.held {
				t.Errorf("%d bytes are held, want %d", s.Durable, tt.held)
			}
			if left := r.left("u.bin"); tt.err == nil && left != fmt.Sprintf("part %d", interval) {
				t.Errorf("there is %s", left)
			}
			r.kill()
			r.origin.Release()
			r.boot()
			if r.Snapshot().State == fsm.Failed {
				r.start(r.job())
			}
			r.fetched()
			if first := r.requests()[0]; first.Offset != tt.held {
				t.Errorf("the next process asks from %d, want %d", first.Offset, tt.held)
			}
		})
	}
}

func TestStopWhileAReplacementIsStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at), origintest.On(2).IgnoreRange().Header("ETag", `"other"`).StallAt(interval))
		r.held(at)
		stopped := false
		r.before("sync", func() error { stopped = true; r.cancel(); time.Sleep(time.Millisecond); return nil })
		r.boot()
		synctest.Wait()
		if r.stop(); !stopped {
			t.Fatal("nothing was stored")
		}
		r.faults.set(nil)
		r.boot()
		if s := r.Snapshot(); s.Durable != at {
			t.Errorf("%d bytes are held, want %d", s.Durable, at)
		}
	})
}

// A replacement that cannot be read is waited for, and in the end fetched again.
func TestReplacementThatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).Replace(sample(2, 5*interval+1234)).StallAt(at), origintest.On(3).IgnoreRange().StallAt(interval))
		r.cfg.TryAgain = fsm.TryAgain{First: time.Second, Longest: time.Hour}
		r.held(at)
		r.faults.set(func(op string, offset int64) error {
			if op == "read" && offset >= r.object.Len() {
				return syscall.EIO
			}
			return nil
		})
		r.boot()
		for tries := 1; tries <= 3; tries++ {
			if s := r.failed("DOWNLOAD_FAILED: STORAGE"); s.Tries != tries || s.Durable != interval {
				t.Fatalf("try %d: %d bytes are durable: %s", s.Tries, s.Durable, s.Error)
			}
			time.Sleep(r.Snapshot().NextTry)
		}
		r.fetched()
	})
}

func TestAnotherJobAfterAReplacementThatWasNotCopied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const at = 2*interval + 5
		r := newRig(t, origintest.On(1).StallAt(at), origintest.On(2).IgnoreRange().Header("ETag", `"other"`).StallAt(interval))
		r.held(at)
		r.failOnce("sync", 2, syscall.EIO)
		r.boot()
		r.failed("DOWNLOAD_FAILED: ")
		if r.journal.Record().Staged == 0 {
			t.Fatal("the replacement is in its place")
		}
		job := r.job()
		job.Name = "other.bin"
		r.start(job)
		if staged := r.journal.Record().Staged; staged != 0 {
			t.Errorf("the new job's bytes are at %d", staged)
		}
	})
}
