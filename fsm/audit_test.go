package fsm_test

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"otad/fsm"
	"otad/metrics"
)

// durable is how many bytes the journal vouches for.
func (p *process) durable() int64 {
	if cps := p.journal.Checkpoints(); len(cps) > 0 {
		return cps[0].Offset
	}
	return 0
}

// counts returns the values of a counter by its label, without those that are 0: "reset 2, stall 1".
func (p *process) counts(name string) string {
	p.dev.t.Helper()
	var out []string
	for line := range strings.Lines(exposition(p.metrics)) {
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

// gauge returns the value of a series without labels.
func (p *process) gauge(name string) float64 {
	p.dev.t.Helper()
	for line := range strings.Lines(exposition(p.metrics)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+" "); found {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				p.dev.t.Fatal(err)
			}
			return n
		}
	}
	p.dev.t.Fatalf("no series %s", name)
	return 0
}

// exposition is what a scrape gets.
func exposition(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// left says what the job of that name has left in the state directory: "nothing", "published", "part 300000", or both
// of the latter.
func (d *device) left(name string) string {
	d.t.Helper()
	var out []string
	if _, err := os.Stat(filepath.Join(d.dir, name)); err == nil {
		out = append(out, "published")
	}
	if st, err := os.Stat(d.partial(name)); err == nil {
		out = append(out, "part "+strconv.FormatInt(st.Size(), 10))
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, " and ")
}

func (d *device) partial(name string) string { return filepath.Join(d.dir, name+".part") }

// audit checks what has to hold whenever a job has ended, however it came to that: what is shown, what is in the journal
// and what is on disk say the same, and Ready means the bytes of the digest.
func (p *process) audit(s fsm.Snapshot) {
	t := p.dev.t
	t.Helper()
	rec := p.journal.Record()
	if rec.State != string(s.State) || rec.Error != s.Error {
		t.Errorf("shown is %s %q, the journal holds %s %q", s.State, s.Error, rec.State, rec.Error)
	}
	durable := p.durable()
	if s.Durable != durable {
		t.Errorf("shown are %d durable bytes, the journal holds %d", s.Durable, durable)
	}
	left := p.dev.left(rec.Job.Name)
	want := "part " + strconv.FormatInt(durable, 10)
	switch {
	case s.State == fsm.Ready:
		want = "published"
		if sum := md5Of(t, filepath.Join(p.dev.dir, rec.Job.Name)); sum != rec.Job.MD5 {
			t.Errorf("ready with a package of digest %s, want %s", sum, rec.Job.MD5)
		}
	case durable == 0:
		want = "nothing"
	}
	if left != want {
		t.Errorf("%s with %d bytes durable left %s, want %s", s.State, durable, left, want)
	}
}

func md5Of(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Error(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// exitCode is what a process that fetches in the foreground returns for a job that ended so.
func exitCode(s fsm.Snapshot) int {
	if s.State == fsm.Ready {
		return 0
	}
	switch s.Code {
	case fsm.MD5Mismatch, fsm.SHA256Mismatch, fsm.PackageSizeMismatch:
		return 3
	case fsm.DiskFull:
		return 4
	default:
		return 1
	}
}
