package fsm_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
	"otad/netio/origintest"
)

// row is one thing that an origin or a network can do to a download, and all
// that has to come of it. The package is the million bytes of object, unless
// said otherwise, and a checkpoint is due every 100,000.
type row struct {
	name   string
	origin origintest.Config
	script []*origintest.Rule
	url    string // path and query; empty: /package.bin
	dial   func(dialFunc) dialFunc
	job    func(*journal.Job)
	net    func(*netio.Config, *origintest.Origin)
	cfg    func(*fsm.Config)

	fails    string        // how the error begins; empty: the package is ready
	requests []string      // "RANGE [if-match]: STATUS", see asked
	twice    int64         // bytes that were sent more than once
	retries  string        // by reason, as process.counts has them
	restarts string        // the same
	left     string        // of a job that failed, as rig.left has it; empty: nothing
	took     time.Duration // waits included: back-offs are 1 s, 2 s, 4 s here
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Three objects of one size.
var (
	object  = sample(1, 1_000_000)
	another = sample(2, 1_000_000)
	third   = sample(3, 1_000_000)
)

// How an error names the origin of a rig.
const (
	atPort80  = " (http://127.0.0.1:80)"
	atPort443 = " (https://127.0.0.1:443)"
)

// prove runs each row undisturbed, and again with a kill -9 in the middle,
// after which all must end the same.
func prove(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			var changes int
			t.Run("undisturbed", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { changes = r.undisturbed(t) })
			})
			for _, at := range r.kills(changes) {
				t.Run(fmt.Sprintf("killed at %d of %d", at, changes), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { r.killed(t, at) })
				})
			}
		})
	}
}

// kills picks the changes of the state directory at which the process is
// killed: never the first one, with which the job itself comes into the
// journal.
func (r row) kills(changes int) []int {
	if testing.Short() {
		return []int{max(2, changes/2)}
	}
	return slices.Compact([]int{max(2, changes/2), max(2, changes-1)})
}

// undisturbed runs the row in one process and returns how often that changed
// the state directory.
func (r row) undisturbed(t *testing.T) int {
	d, job := r.setUp(t)
	p := d.boot()
	begin := time.Now()
	p.start(job)
	s, _ := p.settle()
	if took := time.Since(begin); took != r.took {
		t.Errorf("took %v, want %v", took, r.took)
	}
	r.check(t, p, s)
	if got := d.left(job.Name); s.State == fsm.Failed && got != cmp.Or(r.left, "nothing") {
		t.Errorf("left %s, want %s", got, cmp.Or(r.left, "nothing"))
	}
	if got := asked(d.origin); !slices.Equal(got, r.requests) {
		t.Errorf("requests\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(r.requests, "\n\t"))
	}
	if got := d.origin.ServedTwice(); got != r.twice {
		t.Errorf("%d bytes were sent twice, want %d", got, r.twice)
	}
	scrape := exposition(p.metrics)
	if got := countsIn(scrape, "ota_download_retries_total"); got != r.retries {
		t.Errorf("retries %q, want %q", got, r.retries)
	}
	if got := countsIn(scrape, "ota_download_restarts_total"); got != r.restarts {
		t.Errorf("restarts %q, want %q", got, r.restarts)
	}
	kept := int64(metricIn(scrape, "ota_download_received_bytes_total") - metricIn(scrape, "ota_download_discarded_bytes_total"))
	if !strings.Contains(s.Error, "_MISMATCH") && kept != s.Durable { // with a mismatch even what was kept is deleted
		t.Errorf("received and not discarded are %d bytes, durable are %d", kept, s.Durable)
	}
	return p.changes()
}

// alone runs the row undisturbed only.
func (r row) alone(t *testing.T) { r.undisturbed(t) }

// killed runs the row with a process that is killed at a change of the state
// directory, and a second one that goes on.
func (r row) killed(t *testing.T, at int) {
	d, job := r.setUp(t)
	d.killAt = at
	p := d.boot()
	p.Start(t.Context(), job) // the kill may fall into it
	s, alive := p.settle()
	if !alive {
		before := len(d.origin.Requests())
		p = d.boot()
		if p.Snapshot().State == fsm.Idle { // the job was lost with its client's request, who asks again
			p.start(job)
		}
		s, _ = p.settle()
		p.afterKill(d.origin.Requests()[before:])
	}
	r.check(t, p, s)
}

// setUp makes what a row runs on.
func (r row) setUp(t *testing.T) (*rig, journal.Job) {
	c := r.origin
	if c.Object.Len() == 0 {
		c.Object = object
	}
	d := newBulkRig(t, c, r.script...)
	if r.dial != nil {
		d.net.Dial = r.dial(d.net.Dial)
	}
	if r.net != nil {
		r.net(&d.net, d.origin)
	}
	if r.cfg != nil {
		r.cfg(&d.cfg)
	}
	job := d.job()
	job.URL = d.origin.URLFor(cmp.Or(r.url, "/package.bin"))
	if r.job != nil {
		r.job(&job)
	}
	return d, job
}

// check compares what does not depend on whether the process was killed.
func (r row) check(t *testing.T, p *process, s fsm.Snapshot) {
	t.Helper()
	want := fsm.Ready
	if r.fails != "" {
		want = fsm.Failed
	}
	if s.State != want || !strings.HasPrefix(s.Error, r.fails) || want == fsm.Ready && s.Error != "" {
		t.Errorf("%s %q, want %s %q", s.State, s.Error, want, r.fails)
	}
	if strings.HasPrefix(s.Error, "DOWNLOAD_FAILED") && !strings.Contains(s.Error, " (http") {
		t.Errorf("the error %q does not name the origin", s.Error)
	}
	p.audit(s)
}

// afterKill checks what a kill has left: the file reaches at least to the
// checkpoint, and not more than two intervals beyond it, or an answer that takes
// over is behind the package's end. The next process asks
// for nothing but the rest.
func (p *process) afterKill(requests []origintest.Request) {
	t := p.rig.t
	t.Helper()
	if p.found.record.State == string(fsm.Downloading) {
		var size int64
		fmt.Sscanf(p.found.left, "part %d", &size) // 0 when nothing is left
		if beyond := size - p.found.durable; beyond < 0 || beyond > 2*p.rig.cfg.Checkpoint && size <= p.rig.object.Len() {
			t.Errorf("left was %s, the checkpoint was at %d", p.found.left, p.found.durable)
		}
	}
	if want := fmt.Sprintf("bytes=%d-", p.found.durable); len(requests) > 0 && requests[0].Range != want {
		t.Errorf("the first request after the kill is for %s, want %s", requests[0].Range, want)
	}
}

// asked lists the requests that o received: "300000- if-match: 206", with "cut"
// for the status of those that got none.
func asked(o *origintest.Origin) []string {
	var out []string
	for _, r := range o.Requests() {
		line := strings.TrimPrefix(r.Range, "bytes=")
		if r.IfMatch != "" {
			line += " if-match"
		}
		status := fmt.Sprint(r.Status)
		if r.Status == 0 {
			status = "cut"
		}
		out = append(out, line+": "+status)
	}
	return out
}

func script(rules ...*origintest.Rule) []*origintest.Rule { return rules }

// Rules of origintest by a shorter name: the rows are made of little else.
var (
	on     = origintest.On
	from   = origintest.From
	span   = origintest.Span
	always = origintest.Always
)
