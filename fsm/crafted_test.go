package fsm_test

import (
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/hashing"
	"otad/journal"
)

// TestReadyIsJudgedByTheBytes starts on journals that claim Ready. The package is
// digested, if it is there, and the journal does not decide.
func TestReadyIsJudgedByTheBytes(t *testing.T) {
	forget := func(rec *journal.Record) { rec.Published = nil }
	for _, tt := range []struct {
		name   string
		meddle func(r *rig)
		change func(*journal.Record) // of the journal
		reads  bool                  // the package is digested
		want   string                // the error; empty: Ready
	}{
		{"as it was left", func(*rig) {}, nil, true, ""},
		{"taken away", func(r *rig) { must(r.t, os.Remove(r.path("u.bin"))) }, nil, false, ""},
		{"of an otad that did not remember", func(*rig) {}, forget, true, ""},
		{"copied back", func(r *rig) {
			whole, err := os.ReadFile(r.path("u.bin"))
			must(r.t, err)
			must(r.t, os.Remove(r.path("u.bin")))
			must(r.t, os.WriteFile(r.path("u.bin"), whole, 0o644))
		}, nil, true, ""},
		{"other bytes", func(r *rig) { flip(r.t, r.path("u.bin"), 77) }, nil, true, damaged + "expected "},
		{"other bytes, with the times of before", func(r *rig) {
			st, err := os.Stat(r.path("u.bin"))
			must(r.t, err)
			flip(r.t, r.path("u.bin"), 77)
			must(r.t, os.Chtimes(r.path("u.bin"), st.ModTime(), st.ModTime()))
		}, nil, true, damaged + "expected "},
		{"other bytes and forged", func(r *rig) { flip(r.t, r.path("u.bin"), 77) }, forget, true, damaged + "expected "},
		{"cut", func(r *rig) { must(r.t, os.Truncate(r.path("u.bin"), 10)) }, nil, true, damaged + "lost the partial file, and the published u.bin has 10 bytes"},
		{"empty", func(r *rig) { must(r.t, os.Truncate(r.path("u.bin"), 0)) }, nil, true, damaged + "lost the partial file, and the published u.bin has 0 bytes"},
		{"a link to elsewhere", func(r *rig) {
			must(r.t, os.Remove(r.path("u.bin")))
			must(r.t, os.Symlink("/dev/null", r.path("u.bin")))
		}, nil, true, damaged},
		{"another digest", func(*rig) {}, func(rec *journal.Record) {
			forget(rec)
			rec.Job.MD5 = strings.Repeat("0", 32)
		}, true, damaged + "expected "},
	} {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t)
			r.cfg.KeepOutbox = true
			forever(r)
			r.begin()
			r.fetched()
			r.end()
			tt.meddle(r)
			if tt.change != nil {
				r.edit(func(j *journal.Journal) error { _, err := j.Update(tt.change); return err })
			}
			entries := len(r.edited().Outbox)
			r.refuse("open", syscall.ENOSPC) // no file is made
			r.open()
			if got, want := r.Snapshot().State == fsm.Verifying, tt.reads; got != want {
				t.Errorf("%s is shown before anything runs", r.Snapshot().State)
			}
			r.boot()
			synctest.Wait()
			s := r.Snapshot()
			if tt.want == "" {
				if s.State != fsm.Ready || len(r.journal.Record().Outbox) != entries {
					t.Errorf("%s %s, reported again: %v", s.State, s.Error, r.journal.Record().Outbox)
				}
				if !strings.Contains(exposition(r.metrics), `ota_downloads_total{result="succeeded"} 0`) {
					t.Error("counted again")
				}
				r.end()
				if r.boot(); r.await(fsm.Ready).State != fsm.Ready {
					t.Errorf("the start after that is %s", r.Snapshot().State)
				}
				return
			}
			if s.State != fsm.Failed || !strings.HasPrefix(s.Error, tt.want) || s.NextTry != 0 {
				t.Errorf("%s %q, tried again in %v", s.State, s.Error, s.NextTry)
			}
			r.end()
			r.boot()
			time.Sleep(48 * time.Hour)
			if s := r.Snapshot(); s.State != fsm.Failed || len(r.requests()) > 0 {
				t.Errorf("without a post it is %s", s.State)
			}
			r.faults.set(nil)
			r.start(r.job())
			r.fetched()
		})
	}
}

const damaged = "DOWNLOAD_FAILED: PACKAGE_DAMAGED the package that was ready is not what it was: "

// An installer may delete the package while it is proved.
func TestPackageIsInstalledWhileReadyIsProved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		r.end()
		must(t, os.Chtimes(r.path("u.bin"), time.Time{}, time.Unix(1, 0)))
		if s := r.open().Snapshot(); s.State != fsm.Verifying {
			t.Fatalf("%+v", s)
		}
		must(t, os.Remove(r.path("u.bin")))
		r.boot()
		if s := r.await(fsm.Ready); s.State != fsm.Ready {
			t.Errorf("%s %s", s.State, s.Error)
		}
	})
}

// Another job need not wait until an earlier package is proved again.
func TestOtherJobWhileReadyIsProved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).begin()
		r.fetched()
		r.end()
		r.edit(func(j *journal.Journal) error {
			_, err := j.Update(func(rec *journal.Record) { rec.Published = nil })
			return err
		})
		p := r.open()
		if s := p.Snapshot(); s.State != fsm.Verifying {
			t.Fatalf("%+v", s)
		}
		must(t, p.StartBeforeRun(t.Context(), r.other(), false))
		r.boot()
		if s := r.await(fsm.Ready); s.State != fsm.Ready || s.Name != r.other().Name || !r.exists("u.bin") {
			t.Errorf("%+v", s)
		}
		if text := exposition(r.metrics); !strings.Contains(text, `ota_downloads_total{result="cancelled"} 0`) {
			t.Error("the earlier package counts as cancelled")
		}
	})
}

// edited returns the record that the journal holds.
func (r *rig) edited() journal.Record {
	rec, _ := r.record()
	return rec
}

// TestCraftedJournalEndsSomewhere starts on journals that no otad has written.
// Whatever they claim, otad comes to rest, and a job that is posted becomes Ready.
func TestCraftedJournalEndsSomewhere(t *testing.T) {
	whole := func(r *rig) journal.Record {
		return journal.Record{State: string(fsm.Downloading), Job: r.job(), Generation: 1}
	}
	state := hashing.New(hashing.MD5).AppendState(nil)
	for _, tt := range []struct {
		name       string
		record     func(r *rig) journal.Record
		checkpoint journal.Checkpoint // of generation 1
		part       int64              // length of the partial file, of zeros
	}{
		{"every state without a job", func(*rig) journal.Record { return journal.Record{State: string(fsm.Verifying)} }, journal.Checkpoint{}, 0},
		{"Ready without a job", func(*rig) journal.Record { return journal.Record{State: string(fsm.Ready)} }, journal.Checkpoint{}, 0},
		{"Failed without a reason", func(r *rig) journal.Record { rec := whole(r); rec.State = string(fsm.Failed); return rec }, journal.Checkpoint{}, 0},
		{"a state that no otad has", func(r *rig) journal.Record { rec := whole(r); rec.State = "Installing"; return rec }, journal.Checkpoint{}, 0},
		{"Downloading without a URL", func(r *rig) journal.Record { rec := whole(r); rec.Job.URL = ""; return rec }, journal.Checkpoint{}, 0},
		{"a URL that is none", func(r *rig) journal.Record { rec := whole(r); rec.Job.URL = "http://[\x00"; return rec }, journal.Checkpoint{}, 0},
		{"Verifying without bytes", func(r *rig) journal.Record { rec := whole(r); rec.State = string(fsm.Verifying); return rec }, journal.Checkpoint{}, 0},
		{"Verifying with other bytes", func(r *rig) journal.Record { rec := whole(r); rec.State = string(fsm.Verifying); return rec },
			journal.Checkpoint{Offset: 5*interval + 1234, Digest: state}, 5*interval + 1234},
		{"the largest size", func(r *rig) journal.Record { rec := whole(r); rec.Job.Size = math.MaxInt64; return rec }, journal.Checkpoint{}, 0},
		{"the largest total", func(r *rig) journal.Record {
			rec := whole(r)
			rec.Job.Size = 0
			rec.Validator.Total = math.MaxInt64
			return rec
		}, journal.Checkpoint{}, 0},
		{"an offset beyond the reported size", func(r *rig) journal.Record { rec := whole(r); rec.Job.Size = 0; rec.Validator.Total = 100; return rec },
			journal.Checkpoint{Offset: 9 * interval}, 9 * interval},
		{"an offset beyond the object", func(r *rig) journal.Record { rec := whole(r); rec.Job.Size = 0; return rec },
			journal.Checkpoint{Offset: 9 * interval}, 9 * interval},
		{"an offset beyond the file", whole, journal.Checkpoint{Offset: 3 * interval}, interval},
		{"the largest offset", func(r *rig) journal.Record { rec := whole(r); rec.Job.Size = 0; return rec },
			journal.Checkpoint{Offset: math.MaxInt64, Tail: math.MaxInt64}, interval},
		{"a digest of other bytes", whole, journal.Checkpoint{Offset: 3 * interval, Digest: state}, 3 * interval},
		{"a digest that is none", whole, journal.Checkpoint{Offset: 3 * interval, Digest: []byte("digest")}, 3 * interval},
		{"the largest counts", func(r *rig) journal.Record {
			rec := whole(r)
			rec.Generation, rec.OutboxSeq, rec.RestartsSeq = math.MaxUint64, math.MaxUint64, math.MaxUint64
			rec.Tries, rec.TryStep, rec.TryOffset, rec.Restarts = math.MaxInt, math.MaxInt, math.MaxInt64, math.MaxInt
			rec.Changed, rec.Unsatisfiable, rec.Mismatched, rec.Mixed = math.MaxInt, math.MaxInt, math.MaxInt, true
			rec.Stats = journal.Stats{Seconds: math.MaxInt64, Received: math.MaxInt64, Discarded: math.MaxInt64, Resumes: math.MaxInt64, Retries: math.MaxInt64}
			return rec
		}, journal.Checkpoint{}, 0},
		{"packages that are none", func(r *rig) journal.Record {
			rec := whole(r)
			rec.Published = slices.Repeat([]journal.Published{{Name: "u.bin", Size: math.MaxInt64}, {Name: "x.bin", Size: -1}}, 32)
			return rec
		}, journal.Checkpoint{}, 0},
	} {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t)
			r.bulk = true
			r.edit(func(j *journal.Journal) error {
				if _, err := j.Update(func(rec *journal.Record) { *rec = tt.record(r) }); err != nil || tt.checkpoint.Offset == 0 {
					return err
				}
				return j.Rewind(tt.checkpoint)
			})
			must(t, os.WriteFile(r.path("u.bin.part"), make([]byte, tt.part), 0o600))
			r.boot()
			s := r.until(func(s fsm.Snapshot) bool { return !s.State.Active() })
			if s.State == fsm.Ready {
				r.fetched()
			}
			r.start(r.job())
			r.fetched()
		})
	}
}
