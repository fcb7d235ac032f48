package fsm_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"otad/fsm"
	"otad/metrics"
)

// exposition is what a scrape gets of otad's own series. Those of the process
// would take more time than all tests.
func exposition(m *metrics.Metrics) string {
	dir, err := os.MkdirTemp("/dev/shm", "otad-metrics-")
	if err != nil {
		if dir, err = os.MkdirTemp("", "otad-metrics-"); err != nil {
			panic(err)
		}
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "otad.prom")
	if err := m.WriteFile(path); err != nil {
		panic(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// metric is the value of a series, labels and all; -1 when there is none.
func (p *process) metric(series string) float64 { return metricIn(exposition(p.metrics), series) }

func metricIn(scrape, series string) float64 {
	_, rest, _ := strings.Cut(scrape, "\n"+series+" ")
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return -1
	}
	return n
}

// counts returns the values of a counter by its label, without those that are
// 0: "reset 2, stall 1".
func (p *process) counts(name string) string { return countsIn(exposition(p.metrics), name) }

func countsIn(scrape, name string) string {
	var out []string
	for line := range strings.Lines(scrape) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		label, found := strings.CutPrefix(series, name+"{")
		if !found || value == "0" {
			continue
		}
		_, label, _ = strings.Cut(label, `"`)
		out = append(out, strings.TrimSuffix(label, `"}`)+" "+value)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// audit checks what has to hold whenever a job has ended, however it came to
// that: what is shown, what is in the journal and what is on disk agree, and
// Ready means the bytes of the digest.
func (p *process) audit(s fsm.Snapshot) {
	t := p.rig.t
	t.Helper()
	rec := p.journal.Record()
	if rec.State != string(s.State) || rec.Error != s.Error {
		t.Errorf("shown is %s %q, the journal holds %s %q", s.State, s.Error, rec.State, rec.Error)
	}
	durable := newest(p.journal.Checkpoints())
	if s.Durable != durable {
		t.Errorf("shown are %d durable bytes, the journal holds %d", s.Durable, durable)
	}
	left := p.rig.left(rec.Job.Name)
	want := "part " + strconv.FormatInt(durable, 10)
	switch {
	case s.State == fsm.Ready:
		want = "published"
		if sum := md5Of(t, p.rig.path(rec.Job.Name)); sum != rec.Job.MD5 {
			t.Errorf("ready with a package of digest %s, want %s", sum, rec.Job.MD5)
		}
	case durable == 0:
		want = "nothing"
	}
	if left != want {
		t.Errorf("%s with %d bytes durable left %s, want %s", s.State, durable, left, want)
	}
}
