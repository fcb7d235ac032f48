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

	"otad/testdata/certs"
)

// An origin is a server that has packages. Each trial has a folder of its own,
// so that its requests can be distinguished in the log.
type origin interface {
	// publish replaces the package of the folder by p, and returns when the server
	// serves it.
	publish(t *testing.T, folder string, p pkg)
	// url returns the URL of the package of the folder.
	url(folder string) string
	// flags are the flags with which otad trusts the origin.
	flags() []string
	// requests waits for n requests of otad to the folder in the server's log, and
	// returns all of them.
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

// notLogged is the value of a field that a server does not log.
const notLogged = "not logged"

// isFrom reports whether the request may have started at offset.
func (r request) isFrom(offset int64) bool {
	return r.ranges == notLogged || r.ranges == fmt.Sprintf("bytes=%d-", offset)
}

// isAbout reports whether the request may have required that strong ETag.
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

// shows reports whether a server serves p at url: some read a file again only
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

// get requests url and reads the first bytes of the body.
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

// newAuthority makes certificates for a server of the given names.
func newAuthority(t *testing.T, names ...string) certs.Authority {
	t.Helper()
	a, err := certs.New(openDir(t), names...)
	check(t, err)
	return a
}

// newClient returns a client for the requests of the tests. It keeps no
// connection, which could be one of an earlier process of a server.
func newClient(ca certs.Authority) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.Pool}}}
}
