package app_test

import (
	"slices"
	"testing"

	"otad/board/app"
	"otad/fsm"
	"otad/journal"
)

func TestTransitionsHaveTheirJob(t *testing.T) {
	for _, tt := range []struct {
		name   string
		states []fsm.State
		want   []bool // whether the entry is known to be of the current job
	}{
		{"none", nil, nil},
		{"of one job", []fsm.State{fsm.Downloading, fsm.Verifying, fsm.Ready}, []bool{true, true, true}},
		{"started before the oldest entry", []fsm.State{fsm.Verifying, fsm.Ready}, []bool{true, true}},
		{"of a job before", []fsm.State{fsm.Ready, fsm.Downloading, fsm.Verifying}, []bool{false, true, true}},
		{"of this job or the one before", []fsm.State{fsm.Downloading, fsm.Failed, fsm.Downloading}, []bool{false, false, true}},
		{"deleted", []fsm.State{fsm.Downloading, fsm.Idle}, []bool{false, false}},
		{"deleted, then another", []fsm.State{fsm.Ready, fsm.Idle, fsm.Downloading}, []bool{false, false, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := journal.Record{Job: journal.Job{Name: "u.zip", Version: "1.2.3"}}
			for i, s := range tt.states {
				rec.Outbox = append(rec.Outbox, journal.OutboxEntry{Seq: uint64(i), State: string(s)})
			}
			var got []bool
			for i, n := range app.Transitions(rec) {
				if n.Entry != rec.Outbox[i] {
					t.Errorf("entry %d is %+v", i, n.Entry)
				}
				got = append(got, n.Job == rec.Job)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
