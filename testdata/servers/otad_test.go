package servers_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A job is one package and the state directory of the board that wants it. Each
// run of it is otad anew.
type job struct {
	dir  string
	url  string
	want pkg
	args []string
	env  []string
}

const packageName = "package.bin"

// slowly makes the middle of a download last.
var slowly = []string{"-rate-limit", "8MiB"}

func newJob(t *testing.T, url string, want pkg, args ...string) *job {
	return &job{dir: t.TempDir(), url: url, want: want, args: args}
}

func (j *job) partial() string   { return filepath.Join(j.dir, packageName+".part") }
func (j *job) published() string { return filepath.Join(j.dir, packageName) }

// stored is how many bytes the partial file holds; -1: there is none.
func (j *job) stored() int64 {
	st, err := os.Stat(j.partial())
	if err != nil {
		return -1
	}
	return st.Size()
}

// A run is one process of otad.
type run struct {
	job         *job
	cmd         *exec.Cmd
	gone        chan struct{} // closed when cmd has ended
	out, errors bytes.Buffer  // to be read after that
}

func (j *job) start(t *testing.T, more ...string) *run {
	t.Helper()
	path, err := otadPath()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"fetch", "-state-dir", j.dir, "-log-format", "json", "-name", packageName, "-md5", j.want.md5}, j.args...)
	r := &run{job: j, cmd: child(path, append(append(args, more...), j.url)...), gone: make(chan struct{})}
	r.cmd.Env = j.env
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errors
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.cmd.Wait()
		close(r.gone)
	}()
	t.Cleanup(func() { r.kill(t) })
	return r
}

// reach returns when n bytes are stored.
func (r *run) reach(t *testing.T, n int64) {
	t.Helper()
	eventually(t, "otad stores the first bytes", func() bool {
		select {
		case <-r.gone:
			t.Fatalf("otad has ended before the middle: %s", &r.errors)
		default:
		}
		return r.job.stored() >= n
	})
}

// kill ends otad by SIGKILL, unless it has ended by itself.
func (r *run) kill(t *testing.T) outcome {
	t.Helper()
	r.cmd.Process.Kill()
	return r.wait(t)
}

// wait returns when otad has ended by itself.
func (r *run) wait(t *testing.T) outcome {
	t.Helper()
	<-r.gone
	o := outcome{code: r.cmd.ProcessState.ExitCode(), stdout: r.out.String(), stderr: r.errors.String()}
	r.job.checkSecrets(t, o)
	return o
}

// run runs otad to its end.
func (j *job) run(t *testing.T, more ...string) outcome {
	t.Helper()
	return j.start(t, more...).wait(t)
}

// killedInTheMiddle runs otad until SIGKILL in the middle of the package, and
// returns how many bytes are stored then.
func (j *job) killedInTheMiddle(t *testing.T) int64 {
	t.Helper()
	r := j.start(t, slowly...)
	r.reach(t, middle)
	if o := r.kill(t); j.stored() < 0 {
		t.Fatalf("otad had ended before it could be killed: %s", o.stderr)
	}
	return j.stored()
}

// checkSecrets finds the values of the URL's query in what otad said.
func (j *job) checkSecrets(t *testing.T, o outcome) {
	t.Helper()
	u, err := url.Parse(j.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"X-Amz-Signature", "X-Amz-Credential"} {
		secret := u.Query().Get(key)
		if secret != "" && (strings.Contains(o.stdout+o.stderr, secret) || strings.Contains(o.stdout+o.stderr, url.QueryEscape(secret))) {
			t.Errorf("the output holds the %s: %s", key, o.stderr)
		}
	}
}

// An outcome is what a run that ended by itself left to be seen.
type outcome struct {
	code           int
	stdout, stderr string
}

// An entry is a line of otad's log.
type entry struct {
	Msg    string `json:"msg"`
	Reason string `json:"reason"`
	Offset int64  `json:"offset"`
}

// entries are the lines of the log with that message.
func (o outcome) entries(msg string) []entry {
	var found []entry
	for line := range strings.Lines(o.stderr) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == msg {
			found = append(found, e)
		}
	}
	return found
}

// last is the line that names the error.
func (o outcome) last() string {
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "otad: ")
}

func (j *job) wantReady(t *testing.T, o outcome) {
	t.Helper()
	if o.code != 0 || strings.TrimSpace(o.stdout) != j.published() {
		t.Fatalf("otad ended with %d, stdout %q: %s", o.code, o.stdout, o.stderr)
	}
	if got := md5Of(t, j.published()); got != j.want.md5 {
		t.Fatalf("the package that is Ready has MD5 %s, want %s", got, j.want.md5)
	}
}

// wantFailed wants the exit code, and an error of one line that begins so.
func (j *job) wantFailed(t *testing.T, o outcome, code int, begins string) {
	t.Helper()
	if o.code != code || !strings.HasPrefix(o.last(), begins) {
		t.Errorf("otad ended with %d, want %d and %q: %s", o.code, code, begins, o.stderr)
	}
	if _, err := os.Stat(j.published()); err == nil || o.stdout != "" {
		t.Errorf("a package is published, stdout %q", o.stdout)
	}
}

func md5Of(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := md5.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
