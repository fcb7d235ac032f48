package fsm_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"otad/journal"
	"otad/metrics"
)

// edit changes the journal while nothing runs.
func (r *rig) edit(change func(*journal.Journal) error) {
	r.t.Helper()
	j, err := journal.Open(r.dir, journal.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer j.Close()
	if err := change(j); err != nil {
		r.t.Fatal(err)
	}
}

// record is what the journal holds, read from its file.
func (r *rig) record() (journal.Record, int64) {
	r.t.Helper()
	rec, cps, err := journal.Peek(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(cps) == 0 {
		return rec, 0
	}
	return rec, cps[0].Offset
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) exists(name string) bool {
	_, err := os.Lstat(r.path(name))
	return err == nil
}

// wantOnlyJournal fails the test when a partial file or a package is left.
func (r *rig) wantOnlyJournal() {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil || len(entries) != 1 {
		r.t.Errorf("in the state directory are %v, %v; want the journal alone", entries, err)
	}
}

// metric is the value of a series, labels and all.
func (l *life) metric(series string) float64 { return metricOf(l.metrics, series) }

func metricOf(m *metrics.Metrics, series string) float64 {
	for line := range strings.Lines(exposition(m)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err == nil {
				return n
			}
		}
	}
	return -1
}
