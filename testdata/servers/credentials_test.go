package servers_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	user     = "board"
	password = "pa55w0rd"
	token    = "t0k3n"
)

// keepsCredentialsToTheOrigin downloads what the server gives only to a user
// with a password. The credentials are in the URL or in a header file. They go
// along with a redirect within the origin, not with one to another port.
func keepsCredentialsToTheOrigin(t *testing.T, r trial, o *fileOrigin) {
	const folder = "credentials"
	o.publish(t, folder, r.packages.first)
	check(t, os.WriteFile(filepath.Join(o.Dir, "users"), []byte(user+":{PLAIN}"+password+"\n"), 0o644))
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	header := filepath.Join(t.TempDir(), "header")
	check(t, os.WriteFile(header, []byte("Authorization: "+basic+"\nPrivate-Token: "+token+"\n"), 0o600))
	at := func(userinfo, path string) string {
		return "http://" + userinfo + o.Plain.String() + "/" + path + "/" + packageName
	}
	for _, c := range []struct {
		kind, userinfo, token string
		flags                 []string
	}{
		{"user and password in the URL", user + ":" + password + "@", "", nil},
		{"header file", "", token, []string{"-header-file", header}},
	} {
		try := func(path string) *job {
			j := newJob(t, at(c.userinfo, path), r.packages.first, append(c.flags, "-ca-file", o.CA, "-log-level", "debug")...)
			j.secrets = []string{password, token, basic, strings.TrimPrefix(basic, "Basic ")}
			return j
		}
		begun := len(credentials(t, o))
		resumed := try("secret")
		stored := resumed.killedInTheMiddle(t)
		resumed.wantResumed(t, resumed.run(t), stored)
		for _, path := range []string{"within", "away"} {
			j := try(path)
			j.wantReady(t, j.run(t))
		}
		want := []credential{
			{"/secret/", "206", basic, c.token}, {"/secret/", "206", basic, c.token},
			{"/within/", "302", basic, c.token}, {"/secret/", "206", basic, c.token},
			{"/away/", "302", basic, c.token}, {"/elsewhere/", "206", "", ""},
		}
		eventually(t, "the server has logged every request", func() bool { return len(credentials(t, o)) >= begun+len(want) })
		got := credentials(t, o)[begun:]
		for i := range max(len(got), len(want)) {
			if len(got) != len(want) || got[i] != want[i] {
				t.Errorf("%s: the server saw %+v, want %+v", c.kind, got, want)
				break
			}
		}
		r.seen.note(c.kind, "goes on at the checkpoint; not sent across a redirect to another port")
	}
	without := newJob(t, at("", "secret"), r.packages.first)
	output := without.run(t)
	without.wantFailed(t, output, 1, "DOWNLOAD_FAILED: HTTP 401 Unauthorized")
	r.seen.note("no password", withoutAddress(output.LastLine()))
}

// A credential is a request in the server's log of credentials.
type credential struct{ folder, status, authorization, token string }

func credentials(t *testing.T, o *fileOrigin) []credential {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(o.Dir, "credentials.log"))
	check(t, err)
	var found []credential
	for line := range strings.Lines(string(text)) {
		if r, ok := parseLine(strings.TrimSpace(line)); ok {
			found = append(found, credential{strings.TrimSuffix(r.path, packageName), r.status, r.ranges, r.match})
		}
	}
	return found
}
