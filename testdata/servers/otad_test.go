package servers_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/testdata/otadrun"
)

// A job is one package and the state directory of the board that downloads it.
// Each run of the job is a new process of otad.
type job struct {
	dir  string
	url  string
	want pkg
	args []string
	env  []string
	// secrets are in the URL or in a file, and must not be in otad's output.
	secrets []string
}

const packageName = "package.bin"

// slowly makes a download slow enough to disturb it in the middle.
var slowly = []string{"-rate-limit", "8MiB"}

func newJob(t *testing.T, url string, want pkg, args ...string) *job {
	return &job{dir: t.TempDir(), url: url, want: want, args: args}
}

func (j *job) partial() string   { return filepath.Join(j.dir, packageName+".otad-part") }
func (j *job) published() string { return filepath.Join(j.dir, packageName) }

// stored returns the length of the partial file; -1: there is none.
func (j *job) stored() int64 {
	size, _ := otadrun.FileSize(j.partial())
	return size
}

// A run is one process of otad.
type run struct {
	*otadrun.Process
	job *job
}

func (j *job) start(t *testing.T, more ...string) *run {
	t.Helper()
	path, err := otadPath()
	check(t, err)
	flags := append([]string{"-log-format", "json", "-name", packageName}, j.args...)
	cmd := otadrun.Command(path, otadrun.FetchArgs(j.dir, j.want.md5, j.url, append(flags, more...)...)...)
	cmd.Env = j.env
	p, err := otadrun.Start(cmd)
	check(t, err)
	r := &run{p, j}
	t.Cleanup(func() { r.kill(t) })
	return r
}

// reach waits until n bytes are stored.
func (r *run) reach(t *testing.T, n int64) {
	t.Helper()
	check(t, r.AwaitFile(r.job.partial(), n, patience))
}

// kill ends otad by SIGKILL, unless it has ended by itself.
func (r *run) kill(t *testing.T) outcome {
	t.Helper()
	r.Kill()
	return r.wait(t)
}

// wait waits until otad has ended by itself.
func (r *run) wait(t *testing.T) outcome {
	t.Helper()
	o := outcome{r.Wait()}
	r.job.checkSecrets(t, o)
	return o
}

// run runs otad to its end.
func (j *job) run(t *testing.T, more ...string) outcome {
	t.Helper()
	return j.start(t, more...).wait(t)
}

// killedInTheMiddle runs otad, kills it in the middle of the package, and
// returns the length of the partial file.
func (j *job) killedInTheMiddle(t *testing.T) int64 {
	t.Helper()
	r := j.start(t, slowly...)
	r.reach(t, middle)
	if o := r.kill(t); j.stored() < 0 {
		t.Fatalf("otad had ended before it could be killed: %s", o.Stderr)
	}
	return j.stored()
}

// checkSecrets fails the test if the output contains a secret of the job or a
// value of the URL's query.
func (j *job) checkSecrets(t *testing.T, o outcome) {
	t.Helper()
	u, err := url.Parse(j.url)
	check(t, err)
	for _, secret := range j.secrets {
		if strings.Contains(o.Stdout+o.Stderr, secret) {
			t.Errorf("the output contains %q: %s", secret, o.Stderr)
		}
	}
	for _, key := range []string{"X-Amz-Signature", "X-Amz-Credential"} {
		secret := u.Query().Get(key)
		if secret != "" && (strings.Contains(o.Stdout+o.Stderr, secret) || strings.Contains(o.Stdout+o.Stderr, url.QueryEscape(secret))) {
			t.Errorf("the output contains the %s: %s", key, o.Stderr)
		}
	}
}

// An outcome is the exit code and the output of a run.
type outcome struct{ otadrun.Result }

// An entry is a line of otad's log.
type entry struct {
	Msg    string `json:"msg"`
	Reason string `json:"reason"`
	Offset int64  `json:"offset"`
}

// entries returns the lines of the log with that message.
func (o outcome) entries(msg string) []entry {
	var found []entry
	for line := range strings.Lines(o.Stderr) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == msg {
			found = append(found, e)
		}
	}
	return found
}

func (j *job) wantReady(t *testing.T, o outcome) {
	t.Helper()
	if o.Code != 0 || strings.TrimSpace(o.Stdout) != j.published() {
		t.Fatalf("otad ended with %d, stdout %q: %s", o.Code, o.Stdout, o.Stderr)
	}
	if got, err := otadrun.MD5(j.published()); err != nil || got != j.want.md5 {
		t.Fatalf("the package that is Ready has MD5 %s, want %s (%v)", got, j.want.md5, err)
	}
}

// wantFailed expects the exit code and an error of one line with this beginning.
func (j *job) wantFailed(t *testing.T, o outcome, code int, begins string) {
	t.Helper()
	if o.Code != code || !strings.HasPrefix(o.LastLine(), begins) {
		t.Errorf("otad ended with %d, want %d and %q: %s", o.Code, code, begins, o.Stderr)
	}
	if _, err := os.Stat(j.published()); err == nil || o.Stdout != "" {
		t.Errorf("a package is published, stdout %q", o.Stdout)
	}
}
