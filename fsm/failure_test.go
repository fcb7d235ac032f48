package fsm_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

func TestPackageThatIsNotTheJobsIsDeleted(t *testing.T) {
	wrong := strings.Repeat("0", 64)
	tests := []struct {
		name  string
		spoil func(*journal.Job)
		want  string
	}{
		{"MD5", func(j *journal.Job) { j.MD5 = wrong[:32] }, "MD5_MISMATCH: expected " + wrong[:32] + ", got "},
		{"SHA-256", func(j *journal.Job) { j.SHA256 = wrong }, "SHA256_MISMATCH: expected " + wrong + ", got "},
		{"SHA-256 alone", func(j *journal.Job) { j.MD5, j.SHA256 = "", wrong }, "SHA256_MISMATCH: expected "},
		{"smaller", func(j *journal.Job) { j.Size-- }, "PACKAGE_SIZE_MISMATCH: "},
		{"larger", func(j *journal.Job) { j.Size++ }, "PACKAGE_SIZE_MISMATCH: "},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t)
			r.boot()
			job := r.job()
			tt.spoil(&job)
			r.start(job)
			s := r.failed(tt.want)
			r.wantOnlyJournal()
			if _, offset := r.record(); offset != 0 || s.Durable != 0 || s.Progress != 0 {
				t.Errorf("%d bytes are claimed, shown is %+v", offset, s)
			}
			if n := r.metric(`ota_downloads_total{result="failed"}`); n != 1 {
				t.Errorf("%v failed downloads counted", n)
			}
		})
	}
}

func TestPackageWithBothDigestsAndNoSizeIsFetched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).ResetAt(interval+1))
		r.boot()
		job := r.job()
		job.Size, job.SHA256 = 0, r.object.SHA256()
		r.start(job)
		r.fetched()
		if s := r.Snapshot(); s.Size != r.object.Len() || r.metric("ota_download_size_bytes") != float64(s.Size) {
			t.Errorf("the size is shown as %d", s.Size)
		}
	})
}

// The size of the wrong object must not be required of the right one.
func TestSizeThatWasLearnedGoesWithTheBytes(t *testing.T) {
	right := sample(2, 2*interval+77)
	tests := []struct {
		name    string
		script  []*origintest.Rule
		fails   bool
		changed float64 // ota_download_restarts_total{reason="changed"}
	}{
		{"replaced after a mismatch", []*origintest.Rule{origintest.From(2).Replace(right)}, true, 0},
		{"replaced in the middle", []*origintest.Rule{origintest.On(1).ResetAt(interval), origintest.From(2).Replace(right)}, false, 1},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, tt.script...)
			r.object = right // the origin begins with another one
			r.boot()
			job := r.job()
			job.Size = 0
			r.start(job)
			if tt.fails {
				r.failed("MD5_MISMATCH")
				r.start(job)
			}
			r.fetched()
			if s := r.Snapshot(); s.Size != right.Len() {
				t.Errorf("shown as %d bytes, want %d", s.Size, right.Len())
			}
			if n := r.metric(`ota_download_restarts_total{reason="changed"}`); n != tt.changed {
				t.Errorf("%v changes of the object counted, want %v", n, tt.changed)
			}
		})
	}
}

func TestPackageThatDoesNotFitLeavesNothing(t *testing.T) {
	for name, size := range map[string]int64{"size known": 5*interval + 1234, "size learned": 0} {
		run(t, name, func(t *testing.T) {
			r := newRig(t)
			r.cfg.MinFree = 1 << 60
			r.boot()
			job := r.job()
			job.Size = size
			r.start(job)
			s := r.failed("DISK_FULL: need ")
			if !strings.HasSuffix(s.Error, " bytes, 0 free") {
				t.Errorf("error %q", s.Error)
			}
			r.wantOnlyJournal()
			if n := len(r.requests()); size > 0 && n != 0 {
				t.Errorf("%d requests for what does not fit", n)
			}
		})
	}
}

// The error text has the numbers of the failed reservation, not later ones:
// other programs write to the file system, too.
func TestDiskFullHasTheNumbersOfTheReservation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.boot()
		r.failOnce("reserve", 1, fmt.Errorf("reserve: %w", &storage.SpaceError{Need: 7, Free: 3}))
		r.start(r.job())
		if s := r.failed("DISK_FULL: "); s.Error != "DISK_FULL: need 7 bytes, 3 free" {
			t.Errorf("error %q", s.Error)
		}
	})
}

func TestStorageThatFailsInTheMiddleKeepsTheCheckpoint(t *testing.T) {
	tests := []struct {
		name string
		op   string
		err  error
		want string
	}{
		{"disk full", "write", syscall.ENOSPC, "DISK_FULL: need "},
		{"quota used up", "write", syscall.EDQUOT, "DISK_FULL: need "},
		{"write error", "write", syscall.EIO, "DOWNLOAD_FAILED: input/output error"},
		{"sync error, bytes on the medium", "sync", syscall.EIO, "DOWNLOAD_FAILED: input/output error"},
		{"sync error, bytes lost", "sync", errLost, "DOWNLOAD_FAILED: sync failed"},
		{"journal full", "commit", syscall.ENOSPC, "DISK_FULL: need "},
		{"journal broken", "commit", syscall.EIO, "DOWNLOAD_FAILED: write the journal: input/output error"},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t)
			r.boot()
			r.failOnce(tt.op, 4, tt.err)
			r.start(r.job())
			s := r.failed(tt.want)
			if _, offset := r.record(); s.Durable != 3*interval || offset != 3*interval {
				t.Errorf("kept are %d bytes, %d in the journal; want %d", s.Durable, offset, 3*interval)
			}
			history := r.history()
			after := history[slices.Index(history, "refused "+tt.op)+1:]
			most := 0
			if tt.op == "commit" {
				most = 1 // the interval beside which it was under way
			}
			count := func(op string) (n int) {
				for _, o := range after {
					if strings.HasPrefix(o, op) {
						n++
					}
				}
				return n
			}
			if count("write") > most || count("sync") > most || count("commit 262144") > 0 {
				t.Errorf("after the error: %q", after)
			}
			opened := r.opened
			r.start(r.job())
			r.fetched()
			if last := r.requests()[1]; last.Offset != 3*interval || r.opened == opened {
				t.Errorf("went on from %d; files opened for it: %d", last.Offset, r.opened-opened)
			}
		})
	}
}

// What must stay free is not free for the package.
func TestDiskFullDoesNotCountWhatMustStayFree(t *testing.T) {
	for free, want := range map[int64]string{
		500_000: "DISK_FULL: need 132306 bytes, 100000 free",
		300_000: "DISK_FULL: need 132306 bytes, 0 free",
		700_000: "DISK_FULL: need 132306 bytes, 300000 free (" + syscall.ENOSPC.Error() + ")",
	} {
		run(t, want, func(t *testing.T) {
			r := newRig(t)
			r.free, r.cfg.MinFree = free, 400_000
			r.boot()
			r.failOnce("write", 4, syscall.ENOSPC)
			r.start(r.job())
			if s := r.failed("DISK_FULL: "); s.Error != want {
				t.Errorf("error %q, want %q", s.Error, want)
			}
		})
	}
}

func TestPublishThatFailsIsTriedAgainWithTheSameJob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.boot()
		r.failOnce("publish", 1, syscall.EIO)
		r.start(r.job())
		r.failed("DOWNLOAD_FAILED: input/output error")
		r.start(r.job())
		r.fetched()
		if n := len(r.requests()); n != 1 {
			t.Errorf("%d requests: bytes that were there were requested again", n)
		}
	})
}

// An outbox entry has the progress after its transition: the bytes of an older
// job are not those of the new one.
func TestOutboxEntriesHaveTheProgressOfTheirOwnJob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(2).Status(404))
		r.cfg.KeepOutbox, r.cfg.Readback = true, true
		r.begin()
		r.fetched()
		r.start(r.other())
		r.failed("DOWNLOAD_FAILED")
		type told struct {
			state    string
			progress int
			failed   bool
		}
		var got []told
		rec, _ := r.record()
		for i, n := range rec.Outbox {
			got = append(got, told{n.State, n.Progress, n.Error != ""})
			if n.Seq != uint64(i+1) {
				t.Errorf("notice %d has the number %d", i+1, n.Seq)
			}
		}
		want := []told{{"Downloading", 0, false}, {"Verifying", 0, false}, {"Ready", 100, false},
			{"Downloading", 0, false}, {"Failed", 0, true}}
		if !slices.Equal(got, want) {
			t.Errorf("the outbox holds %+v, want %+v", got, want)
		}
	})
}

// A reset drops the job, but not the callbacks that are still to be delivered.
func TestResetKeepsTheOutbox(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.KeepOutbox = true
		r.begin()
		r.fetched()
		must(t, r.Reset(t.Context()))
		var got []string
		rec, _ := r.record()
		for _, n := range rec.Outbox {
			got = append(got, fmt.Sprint(n.Seq, " ", n.State))
		}
		if want := []string{"1 Downloading", "2 Verifying", "3 Ready", "4 Idle"}; !slices.Equal(got, want) || rec.OutboxSeq != 4 {
			t.Errorf("the outbox holds %q and ends at %d, want %q", got, rec.OutboxSeq, want)
		}
	})
}

// The URL may be signed: whoever holds it can fetch the package.
func TestURLIsForgottenAtReady(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		want := r.job()
		want.URL = ""
		if rec, _ := r.record(); rec.Job != want || rec.Validator != (journal.Validator{}) {
			t.Errorf("the journal holds the job %+v and the validator %+v", rec.Job, rec.Validator)
		}
	})
}

// The outbox is bounded. An entry that falls out of it is counted.
func TestDroppedOutboxEntriesAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.Always().Status(404))
		r.cfg.KeepOutbox = true
		r.boot()
		const jobs = 10 // of two transitions each
		for range jobs {
			r.start(r.job())
			r.failed("DOWNLOAD_FAILED")
		}
		if n := r.metric(`ota_callbacks_total{result="dropped"}`); n != 2*jobs-journal.MaxOutbox {
			t.Errorf("%v were counted of %d that were dropped", n, 2*jobs-journal.MaxOutbox)
		}
		rec, _ := r.record()
		if len(rec.Outbox) != journal.MaxOutbox || rec.Outbox[len(rec.Outbox)-1].Seq != 2*jobs {
			t.Errorf("the outbox holds %+v", rec.Outbox)
		}
	})
}

func TestErrorsHaveACodeAndADetail(t *testing.T) {
	for code, keeps := range map[fsm.Code]bool{fsm.DownloadFailed: true, fsm.DiskFull: true,
		fsm.MD5Mismatch: false, fsm.SHA256Mismatch: false, fsm.PackageSizeMismatch: false} {
		if code.KeepsPartial() != keeps {
			t.Errorf("%s keeps the partial file: %v", code, !keeps)
		}
	}
}

// Nothing reads the body once storing it has failed, so a stalled body must be
// cancelled.
func TestStorageThatFailsInAStallFailsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(2*interval+5))
		r.boot()
		r.failOnce("sync", 2, syscall.EIO)
		begin := time.Now()
		r.start(r.job())
		r.failed("DOWNLOAD_FAILED: input/output error")
		if took := time.Since(begin); took != 0 {
			t.Errorf("failed after %v", took)
		}
	})
}

// allocated is how many bytes of the disk the partial file of that name takes.
func (r *rig) allocated(name string) int64 {
	r.t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(r.path(name+".otad-part"), &st); err != nil {
		r.t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestFailedJobGivesItsReservedSpaceBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).ResetAt(interval+5), origintest.On(2).Status(404)).begin()
		synctest.Wait() // in the back-off
		if got := r.allocated("u.bin"); got < r.object.Len() {
			t.Skipf("%d bytes are reserved: this file system does not", got)
		}
		s := r.failed("DOWNLOAD_FAILED: HTTP 404")
		if got := r.allocated("u.bin"); s.Durable != interval+5 || got > 2*interval {
			t.Errorf("%d bytes are still taken for %d", got, s.Durable)
		}
	})
}

// Starting over gives the reserved space back first, and the disk can have
// filled up since it was reserved. What is held then is the first interval of an
// answer that took over, and else nothing.
func TestPackageThatDoesNotFitAnyMoreIsNotStartedOver(t *testing.T) {
	tests := []struct {
		name string
		rule *origintest.Rule // of the second request
		held int64
	}{
		{"another object", origintest.From(2).Replace(sample(2, 5*interval+1234)), 0},
		{"nothing there", origintest.On(2).Status(416), 0},
		{"range ignored", origintest.On(2).IgnoreRange().Header("ETag", `"other"`), interval},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, origintest.On(1).ResetAt(3*interval), tt.rule)
			r.boot()
			r.failOnce("reserve", 2, syscall.ENOSPC)
			r.start(r.job())
			if s := r.failed("DISK_FULL: need "); s.Durable != tt.held {
				t.Errorf("%d bytes are held, want %d", s.Durable, tt.held)
			}
			history := r.history()
			if after := history[slices.Index(history, "truncate"):]; slices.Contains(after, "write") || len(r.requests()) != 2 {
				t.Errorf("%d requests; from starting over on: %q", len(r.requests()), after)
			}
			if tt.held == 0 {
				r.wantOnlyJournal()
			}
		})
	}
}

// The limit of one start-over counts from the last Start of the job.
func TestJobPostedAgainIsStartedOverOnceMore(t *testing.T) {
	for fails, refuse := range map[string]func(*origintest.Rule) *origintest.Rule{
		"OBJECT_CHANGED":        func(r *origintest.Rule) *origintest.Rule { return r.Header("ETag", `"other"`) },
		"RANGE_NOT_SATISFIABLE": func(r *origintest.Rule) *origintest.Rule { return r.Status(416) },
	} {
		run(t, fails, func(t *testing.T) {
			r := newRig(t, origintest.On(1).ResetAt(3*interval), refuse(origintest.On(2)),
				origintest.On(3).ResetAt(2*interval), refuse(origintest.Span(4, 5)))
			r.begin()
			r.failed("DOWNLOAD_FAILED: " + fails)
			r.start(r.job())
			r.fetched()
			var begins []int64
			for _, a := range r.requests() {
				begins = append(begins, a.Offset)
			}
			if want := []int64{0, 3 * interval, 0, 2 * interval, 2 * interval, 0}; !slices.Equal(begins, want) {
				t.Errorf("requests are from %v, want %v", begins, want)
			}
		})
	}
}
