package fsm_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
	"otad/netio/origintest"
)

// marker stands wherever a URL can hold one.
const marker = "s3cr3tM4rk3r"

// basic is how the userinfo is sent.
var basic = base64.StdEncoding.EncodeToString([]byte(marker + ":" + marker))

// secretive is url with the marker in its userinfo, query and fragment, plain
// and quoted.
func secretive(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	return scheme + "://" + marker + ":" + marker + "@" + rest +
		"?X-Amz-Credential=" + marker + "%2F20000101&X-Amz-Signature=" + marker + "&n=%22" + marker + "%22#" + marker
}

// wrongs is all that makes a job fail or be tried again, each from a URL with a
// marker in it. The answers that may quote the URL contain the marker, too.
func wrongs(t *testing.T) []row {
	overTLS := origintest.Config{TLS: &origintest.TLS{Hosts: []string{"elsewhere.test"}}}
	stranger := origintest.NewConfig(t, origintest.Config{TLS: &origintest.TLS{}, InMemory: true}).CAFile()
	said := "The request signature " + marker + " for http://a/b?X-Amz-Signature=" + marker + " is expired"
	rows := []row{
		{name: "ready", script: script(always())},
		{name: "digest", job: wants(another)},
		{name: "size", job: func(j *journal.Job) { j.Size++ }},
		{name: "disk full", cfg: func(c *fsm.Config) { c.MinFree = 1 << 60 }},
		{name: "listed status", script: script(always().Status(500)), net: func(c *netio.Config, _ *origintest.Origin) { c.RetryStatus = []int{500} }},
		{name: "wrong host", origin: overTLS, net: trusting},
		{name: "unknown authority", origin: overTLS, net: func(c *netio.Config, _ *origintest.Origin) { c.CAFile = stranger }},
		{name: "handshake cut", origin: origintest.Config{TLS: &origintest.TLS{}, CutConnections: 100}, net: trusting},
		{
			name: "from https to http", origin: origintest.Config{TLS: &origintest.TLS{}}, net: trusting,
			script: script(always().Redirect(302, secretive("http://127.0.0.1/a"))),
		},
		{name: "refused", dial: failing(1, 0, os.NewSyscallError("connect", syscall.ECONNREFUSED))},
		{name: "no route", dial: failing(1, 0, os.NewSyscallError("connect", syscall.ENETUNREACH))},
		{name: "no such host", dial: failing(1, 0, &net.DNSError{Err: "no such host", Name: "origin.test", IsNotFound: true})},
		{name: "no name server", dial: failing(1, 0, &net.DNSError{Err: "timeout", Name: "origin.test", IsTimeout: true})},
		{name: "a dial that quotes the URL", dial: failing(1, 0, errors.New("cannot reach "+secretive("http://127.0.0.1/a")))},
	}
	for name, r := range map[string]*origintest.Rule{
		"404":                     from(2).Status(404).Text(said),
		"expired":                 from(2).S3Error(403, "AccessDenied", said),
		"signature":               from(2).S3Error(403, "SignatureDoesNotMatch", said),
		"no S3 code":              from(2).S3Error(403, "http://a/b?"+marker, said),
		"503 for ever":            from(2).Status(503).RetryAfter(marker),
		"416":                     from(2).Status(416).ContentRange(marker),
		"412":                     from(2).Status(412).Text(said),
		"not a range":             from(2).ContentRange("bytes " + marker),
		"gzip":                    from(2).Header("Content-Encoding", marker),
		"surplus":                 from(2).Chunked().Surplus(1),
		"stall":                   from(2).StallAfter(0),
		"no answer":               from(2).StallEarly(),
		"reset":                   from(2).ResetEarly(),
		"reset in the body":       from(2).ResetAfter(10),
		"FIN":                     from(2).FinAfter(10),
		"no length":               from(2).ContentLength(marker),
		"other total":             from(2).Total(5_000_000),
		"huge header":             from(2).HugeHeader(1<<20).Header("Set-Cookie", marker),
		"not a chunk":             from(2).Header("Transfer-Encoding", marker),
		"not a status":            from(2).Status(999),
		"loop":                    from(2).Redirect(302, "/a?"+marker),
		"redirect to http":        from(2).Redirect(302, secretive("http://cdn.test/a")),
		"redirect to ftp":         from(2).Redirect(302, secretive("ftp://cdn.test/a")),
		"redirect to no host":     from(2).Redirect(302, secretive("http:///a")),
		"redirect to an odd port": from(2).Redirect(302, secretive("http://127.0.0.1:99999/a")),
		"redirect to nonsense":    from(2).Redirect(302, "http://["+marker+"?"+marker),
		"redirect to a bad %":     from(2).Redirect(302, "/%zz?"+marker),
		"redirect to a control":   from(2).Redirect(302, "http://a\x01b?"+marker),
	} {
		rows = append(rows,
			row{name: name, script: script(on(1).ResetAt(350_000), r)},
			row{name: name + ", redirected", script: script(always().Path("/package.bin").Redirect(302, "/signed.bin?X="+marker), on(2).ResetAt(350_000), r)})
	}
	return rows
}

// overheard is all that otad logs, shows and returns.
type overheard struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *overheard) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// saysNothing fails the test when the marker is in there.
func (o *overheard) saysNothing(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(o.all.String()) {
		if strings.Contains(line, marker) || strings.Contains(line, basic) {
			t.Errorf("the secret got out: %s", line)
		}
	}
}

func TestSecretsOfTheURLStayInTheJournal(t *testing.T) {
	for _, r := range wrongs(t) {
		t.Run(r.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { r.overhear(t) })
		})
	}
}

// overhear runs the row with a secretive URL in two processes.
func (r row) overhear(t *testing.T) {
	r.origin.Allow |= origintest.Authorization // the userinfo's
	d, job := r.setUp(t)
	job.URL = secretive(job.URL)
	var heard overheard
	d.log = everyFormat(&heard)
	d.cfg.KeepOutbox = true
	d.cfg.OnChange = func(s fsm.Snapshot) { fmt.Fprintf(&heard, "snapshot %+v\n", s) }
	d.source = func(next fsm.Source) fsm.Source { return errorLog{next, &heard} }
	for range 2 { // the second takes up where the first failed
		p := d.boot()
		p.start(job)
		s, _ := p.settle()
		rec := p.journal.Record()
		fmt.Fprintf(&heard, "%+v\n%+v\n%s\nhealth %v\n%s", s, rec.Outbox, rec.Error, p.Health(), exposition(p.metrics))
		if s.State == fsm.Failed && rec.Job.URL != job.URL {
			t.Errorf("the journal has not kept the URL")
		}
		p.end()
	}
	heard.saysNothing(t)
	for _, req := range d.origin.Requests() {
		if h := fmt.Sprint(req.Header); strings.Contains(h, marker) {
			t.Errorf("a header holds the secret: %s", h)
		}
	}
	st, err := os.Stat(d.path(journal.FileName))
	if err != nil || st.Mode() != 0o600 {
		t.Errorf("mode of the journal: %v, %v", st.Mode(), err)
	}
}

// A signature is in no file of the state directory once the package is Ready, be
// it of a URL that was replaced, or in a journal that was set aside. Where the
// process is killed just after Ready, the next one deletes it.
func TestSignatureDoesNotOutliveReady(t *testing.T) {
	refuseScrub := func(op string, _ int64) error {
		if op == "scrub" {
			return syscall.EIO
		}
		return nil
	}
	for name, fault := range map[string]func(string, int64) error{"at once": nil, "at the next start": refuseScrub} {
		run(t, name, func(t *testing.T) {
			r := newRig(t, on(1).ResetAt(2*interval), on(2).StallAt(3*interval))
			r.begin()
			synctest.Wait()
			renewed := r.job()
			renewed.URL += "&renewed"
			r.start(renewed)
			r.wantInFiles("signature="+secret+"&renewed", journal.FileName)
			must(t, os.WriteFile(r.path("journal.db.corrupt"), []byte("?signature="+secret), 0o600))
			r.origin.Release()
			r.faults.set(fault)
			r.fetched()
			r.end()
			r.faults.set(nil)
			if fault == nil {
				r.wantInFiles("signature=" + secret)
			}
			r.boot()
			synctest.Wait()
			r.wantInFiles("signature=" + secret)
		})
	}
}

// wantInFiles checks which files of the board hold the text.
func (r *rig) wantInFiles(text string, want ...string) {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	must(r.t, err)
	var got []string
	for _, e := range entries {
		b, err := os.ReadFile(r.path(e.Name()))
		must(r.t, err)
		if bytes.Contains(b, []byte(text)) {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("%q is in %q, want it in %q", text, got, want)
	}
}

// everyFormat logs everything, in text and in JSON.
func everyFormat(w io.Writer) slog.Handler {
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	return slog.NewMultiHandler(slog.NewTextHandler(w, all), slog.NewJSONHandler(w, all))
}

// The error of a URL that Start refuses does not contain the URL.
func TestRefusedURLIsNotQuoted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newBulkRig(t, origintest.Config{Object: object})
		var heard overheard
		d.log = everyFormat(&heard)
		p := d.boot()
		for _, url := range []string{
			secretive("http://cdn.test/a"), secretive("ftp://cdn.test/a"), secretive("https:///a"), secretive("https://a:99999/a"),
			"https://[" + marker, "https://a/%zz" + marker, "https://a b/" + marker, "https://a/\x01" + marker, marker, "//" + marker + "@host/a",
			"mailto:" + marker, "https://a:" + marker + "/a", secretive("https://a/" + strings.Repeat("a", journal.MaxURL)), "\xff" + marker,
		} {
			job := d.job()
			job.URL = url
			err := p.Start(t.Context(), job)
			var field *journal.FieldError
			if !errors.As(err, &field) || field.Field != journal.FieldURL {
				t.Errorf("%q: %v", url, err)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				fmt.Fprintf(&heard, "error %v\n", err)
			}
		}
		heard.saysNothing(t)
	})
}
