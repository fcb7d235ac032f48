package servers_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"testing"
)

// An origin is a server that has packages. Each trial has a folder of its own at
// it, so that one's requests are not another's.
type origin interface {
	// publish puts p into the folder in place of what was there, and returns when
	// the server shows it.
	publish(t *testing.T, folder string, p pkg)
	// url is where the package of the folder is to be fetched.
	url(folder string) string
	// flags are what otad needs to trust the origin.
	flags() []string
	// requests are those that otad made to the folder, from the server's log, once
	// there are n.
	requests(t *testing.T, folder string, n int) []request
	process() *process
	client() *http.Client
}

// A request is a line of a server's log.
type request struct {
	path, agent string
	status      string
	ranges      string // the header Range
	match       string // the header If-Match
}

// notLogged stands for what a server does not log.
const notLogged = "not logged"

// isFrom tells whether the request may have asked for the bytes from offset on.
func (r request) isFrom(offset int64) bool {
	return r.ranges == notLogged || r.ranges == fmt.Sprintf("bytes=%d-", offset)
}

// isAbout tells whether the request may have been about the object of that
// strong ETag alone.
func (r request) isAbout(etag string) bool {
	return r.match == notLogged || r.match == etag
}

// folder is the name of t as a path element.
func folder(t *testing.T) string {
	return strings.ReplaceAll(path.Base(t.Name()), "_", "-")
}

// readRequests reads otad's requests to target from the log of a server.
func readRequests(t *testing.T, logFile, target string, n int, parse func(line string) (request, bool)) []request {
	t.Helper()
	var found []request
	eventually(t, fmt.Sprintf("%s has %d requests to %s", logFile, n, target), func() bool {
		text, err := os.ReadFile(logFile)
		if err != nil {
			return false
		}
		found = nil
		for line := range strings.Lines(string(text)) {
			if r, ok := parse(strings.TrimSpace(line)); ok && r.path == target && strings.HasPrefix(r.agent, "otad") {
				found = append(found, r)
			}
		}
		return len(found) >= n
	})
	return found
}

// shows tells whether a server has p where url says: some look at a file only
// every second or so.
func shows(t *testing.T, client *http.Client, url string, p pkg) bool {
	t.Helper()
	resp, got := get(t, client, url, "Range", "bytes=0-31")
	f, err := os.Open(p.path)
	check(t, err)
	defer f.Close()
	want := make([]byte, len(got))
	_, err = io.ReadFull(f, want)
	check(t, err)
	size := resp.ContentLength
	if _, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/"); ok {
		fmt.Sscan(total, &size)
	}
	return size == p.size && len(got) > 0 && string(got) == string(want)
}

// get asks for url and reads the first bytes of the answer.
func get(t *testing.T, client *http.Client, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if req.Header.Get("Accept-Encoding") == "" {
		req.Header.Set("Accept-Encoding", "identity")
	}
	resp, err := client.Do(req)
	check(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 32))
	check(t, err)
	return resp, body
}

// newClient is a client for the tests' own requests, which must not meet what
// an earlier process of a server left of a connection.
func newClient(ca authority) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.pool}}}
}
