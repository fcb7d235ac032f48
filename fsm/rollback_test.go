package fsm_test

import (
	"os"
	"slices"
	"testing"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// TestEachRecordVersionHasItsStates fails when a state is added without a new
// version of the record. An older otad maps a state that it does not have only
// because the version tells it that the record may be newer.
func TestEachRecordVersionHasItsStates(t *testing.T) {
	states := map[int][]fsm.State{
		1: {fsm.Idle, fsm.Downloading, fsm.Verifying, fsm.Ready, fsm.Failed},
	}
	if got, want := fsm.States(), states[journal.RecordVersion]; !slices.Equal(got, want) {
		t.Errorf("record version %d has the states %v, want %v: raise journal.RecordVersion", journal.RecordVersion, got, want)
	}
}

// rolledBack leaves a board whose newer otad put the job into a state that this
// one does not have, with the first half of the package or with all of it.
func rolledBack(r *rig, whole bool) {
	if whole {
		r.boot()
		r.start(r.job())
		r.fetched()
		r.stop()
	} else {
		r.held(2*interval + 5)
	}
	r.edit(func(j *journal.Journal) error {
		_, err := j.Update(func(rec *journal.Record) { rec.State = "Installing" })
		return err
	})
}

func TestUnknownStateCostsNoByte(t *testing.T) {
	for _, tt := range []struct {
		name  string
		whole bool
		spoil func(r *rig)
		want  string // beginning of the error; empty: Ready
		asked int64  // offset of the first request; -1: none is made
	}{
		{"a download goes on from its checkpoint", false, func(*rig) {}, "", 2*interval + 5},
		{"a published package is Ready", true, func(*rig) {}, "", -1},
		{"an older package of that name is not", true, func(r *rig) { flip(r.t, r.path("u.bin"), 77) },
			"DOWNLOAD_FAILED: ", -1}, // Ready had deleted the URL
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, origintest.On(1).StallAt(2*interval+5))
				if tt.whole {
					r = newRig(t)
				}
				rolledBack(r, tt.whole)
				tt.spoil(r)
				r.boot()
				if tt.want != "" {
					r.failed(tt.want)
					r.start(r.job()) // the way out is always the same
				}
				r.fetched()
				if tt.want != "" {
					return
				}
				asked := int64(-1)
				if requests := r.requests(); len(requests) > 0 {
					asked = requests[0].Offset
				}
				if asked != tt.asked {
					t.Errorf("asked from %d, want %d", asked, tt.asked)
				}
				if _, err := os.Stat(r.path("journal.db.corrupt")); err == nil {
					t.Error("the journal was set aside")
				}
			})
		})
	}
}

func TestUnknownStateWithoutAJobIsIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.edit(func(j *journal.Journal) error {
			_, err := j.Update(func(rec *journal.Record) { rec.State = "Resting" })
			return err
		})
		if s := r.boot().Snapshot(); s.State != fsm.Idle {
			t.Errorf("shown is %+v", s)
		}
		r.start(r.job())
		r.fetched()
	})
}
