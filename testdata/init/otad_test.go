package init_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/testdata/otadrun"
)

// origin serves a package on the board's loopback, and returns its job.
func (b *board) origin(size int64) otadrun.Job {
	b.t.Helper()
	dir := b.t.TempDir()
	sum, err := otadrun.WritePackage(filepath.Join(dir, "u.bin"), size, b.t.Name())
	check(b.t, err)
	var l net.Listener
	b.InNetwork(func() { l, err = net.Listen("tcp", "127.0.0.1:0") })
	check(b.t, err)
	server := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go server.Serve(l)
	b.t.Cleanup(func() { server.Close() })
	return otadrun.Job{Version: "1.2.3", URL: fmt.Sprintf("http://%s/u.bin", l.Addr()), Name: "u.bin", Size: size, MD5: sum}
}

// ask sends a request to the API and returns the response; its code is 0 when
// there is none.
func (b *board) ask(method, path string, body any) (r otadrun.Response) {
	text, err := json.Marshal(body)
	check(b.t, err)
	req, err := http.NewRequestWithContext(context.Background(), method, "http://127.0.0.1:12315"+path, strings.NewReader(string(text)))
	check(b.t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.client.Do(req)
	if err != nil {
		return r
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return otadrun.Response{}
	}
	return r
}

// post starts a job.
func (b *board) post(job otadrun.Job) {
	b.t.Helper()
	if r := b.ask(http.MethodPost, "/api/v1.0/download", job); r.Err() != nil {
		b.t.Fatalf("the job is refused: %v", r.Err())
	}
}

// progress returns otad's progress, the zero value while it does not answer.
func (b *board) progress() otadrun.Progress { return b.ask(http.MethodGet, "/progress", nil).Data }

// awaitState waits until otad is in the state.
func (b *board) awaitState(state string) {
	b.t.Helper()
	eventually(b.t, "state "+state, func() bool { return b.progress().State == state })
}

// wantPackage reports a package that is not as its job says, or is not for every
// user to read and otad's to change.
func (b *board) wantPackage(job otadrun.Job) {
	b.t.Helper()
	name := filepath.Join(stateIn, job.Name)
	if sum, err := otadrun.MD5(b.Path(name)); err != nil || sum != job.MD5 {
		b.t.Errorf("%s has the MD5 %s (%v), want %s", name, sum, err, job.MD5)
	}
	b.WantStat(name, "990:990 0644")
}

// initFile returns the content of a file of board/init.
func initFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../board/init", name))
	check(t, err)
	return string(text)
}
