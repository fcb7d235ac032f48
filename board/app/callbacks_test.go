package app_test

import (
	"slices"
	"strings"
	"testing"

	"otad/board/app"
	"otad/journal"
)

func TestTransitionsHaveTheirJob(t *testing.T) {
	entry := func(job journal.EntryJob) journal.OutboxEntry { return journal.OutboxEntry{State: "Failed", Job: job} }
	now := journal.Job{Name: "u.zip", Version: "1.2.3", MD5: strings.Repeat("0a", 16), URL: "https://h/u.zip"}
	none, first, second := journal.EntryJob{}, journal.EntryJob{Name: "a"}, journal.EntryJob{Name: "b"}
	own := now.Entry()
	for _, tt := range []struct {
		name   string
		job    journal.Job
		outbox []journal.OutboxEntry
		want   []journal.EntryJob
	}{
		{"none", now, nil, nil},
		{"of one job", now, []journal.OutboxEntry{entry(none), entry(none)}, []journal.EntryJob{own, own}},
		{"of two jobs before", now, []journal.OutboxEntry{entry(none), entry(first), entry(second), entry(none)},
			[]journal.EntryJob{first, first, second, own}},
		{"deleted", journal.Job{}, []journal.OutboxEntry{entry(none), entry(first)}, []journal.EntryJob{first, first}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []journal.EntryJob
			for _, n := range app.Transitions(journal.Record{Job: tt.job, Outbox: tt.outbox}) {
				got = append(got, n.Job)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
