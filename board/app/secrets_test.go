package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"otad/board/app"
	"otad/board/config"
	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// marker is the secret in every part of a URL that can hold one.
const marker = "s3cr3tM4rk3r"

// secretive is url with the marker in its userinfo, query and fragment.
func secretive(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	return scheme + "://" + marker + ":" + marker + "@" + rest + "?X-Amz-Signature=" + marker + "&n=%22" + marker + "#" + marker
}

var object = origintest.Object{Size: 500_000, Seed: 1}

// failures returns URLs whose jobs fail, each at another place. Where the server
// repeats the URL, the marker is in its answer too.
func failures(t *testing.T) map[string]string {
	said := "http://a/b?X-Amz-Signature=" + marker + " is " + marker
	serving := func(rules ...*origintest.Rule) string {
		return secretive(origintest.NewConfig(t, origintest.Config{Object: object, Script: rules, Allow: origintest.Authorization}).URL())
	}
	down := origintest.New(t, object)
	down.Down()
	return map[string]string{
		"404":              serving(origintest.Always().Status(404).Text(said)),
		"500":              serving(origintest.Always().Status(500).Text(said)),
		"expired":          serving(origintest.Always().ExpiredAWS()),
		"signature":        serving(origintest.Always().S3Error(403, "SignatureDoesNotMatch", said)),
		"reset":            serving(origintest.Always().ResetAt(200_000)),
		"gzip":             serving(origintest.Always().Gzip()),
		"surplus":          serving(origintest.Always().Chunked().Surplus(1)),
		"416":              serving(origintest.Always().Status(416)),
		"412":              serving(origintest.Always().Status(412)),
		"redirect loop":    serving(origintest.Always().Redirect(302, "/a?"+marker)),
		"redirect refused": serving(origintest.Always().Redirect(302, secretive("http://cdn.test/a"))),
		"redirect to none": serving(origintest.Always().Redirect(302, "http://["+marker)),
		"another object":   serving(origintest.Always().Replace(origintest.Object{Size: 500_000, Seed: 2})),
		"another size":     serving(origintest.Always().Replace(origintest.Object{Size: 500_001, Seed: 2})),
		"refused":          secretive(down.URL()),
		"certificate":      secretive(origintest.NewConfig(t, origintest.Config{TLS: &origintest.TLS{}, Allow: origintest.Malformed | origintest.Authorization}).URL()),
	}
}

// recorder collects all output of otad: log, answers, callbacks.
type recorder struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (rec *recorder) Write(p []byte) (int, error) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.all.Write(p)
}

// checkNoSecret fails if the marker is in the output.
func (rec *recorder) checkNoSecret(t *testing.T) {
	t.Helper()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.all.Len() == 0 {
		t.Error("nothing was rec at all")
	}
	for line := range strings.Lines(rec.all.String()) {
		if strings.Contains(line, marker) {
			t.Errorf("the secret got out: %s", line)
		}
	}
}

// run runs otad with these arguments to its end. Each line of its stderr is
// recorded and given to onLine.
func (rec *recorder) run(ctx context.Context, t *testing.T, stdout *os.File, onLine func(line string), args ...string) error {
	t.Helper()
	cfg, err := config.Parse(args, nil, io.Discard)
	if err != nil {
		return err
	}
	return rec.runConfig(ctx, t, stdout, onLine, cfg)
}

// runConfig is run with the arguments in their parsed form.
func (rec *recorder) runConfig(ctx context.Context, t *testing.T, stdout *os.File, onLine func(line string), cfg *config.Config) error {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			fmt.Fprintln(rec, lines.Text())
			onLine(lines.Text())
		}
	})
	err = app.Run(ctx, cfg, app.Build{Version: "test"}, stdout, w)
	w.Close()
	reading.Wait()
	r.Close()
	return err
}

// The secrets of a job's URL, of the callback's URL and of the header file are
// not in the log, in the API's answers, in callbacks, in metrics or in otad
// status.
func TestServeKeepsSecrets(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			var rec recorder
			ended := make(chan struct{}, 100)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				fmt.Fprintf(&rec, "callback %v %s\n", r.Header, body)
				if bytes.Contains(body, []byte(`"failed"`)) {
					ended <- struct{}{}
				}
			}))
			defer receiver.Close()
			addr, dir := freeAddress(t), t.TempDir()
			flags := []string{"-state-dir", dir, "-listen", addr, "-log-format", format, "-log-level", "debug"}
			header := headerFile(t, 0o600, "Private-Token: "+marker+"\n")
			ctx, stop := context.WithCancel(t.Context())
			serving, done := make(chan struct{}), make(chan error, 1)
			go func() {
				ready := sync.OnceFunc(func() { close(serving) })
				done <- rec.run(ctx, t, nil, func(line string) {
					if strings.Contains(line, "serving") {
						ready()
					}
				}, append([]string{"serve", "-retries", "0", "-header-file", header, "-callback-url", receiver.URL + "?token=" + marker}, flags...)...)
			}()
			select {
			case <-serving:
			case err := <-done:
				t.Fatal(err)
			}
			rec.request(t, http.MethodPost, addr, "/api/v1.0/download", postOf(secretive("http://cdn.test/a"))) // refused
			for name, url := range failures(t) {
				fmt.Fprintln(&rec, "===", name)
				rec.request(t, http.MethodPost, addr, "/api/v1.0/download", postOf(url))
				<-ended
				for _, path := range []string{"/api/v1.0/progress", "/metrics", "/healthz"} {
					rec.request(t, http.MethodGet, addr, path, "")
				}
				rec.status(t, flags)
			}
			stop()
			fmt.Fprintln(&rec, <-done)
			rec.status(t, flags) // of the journal now
			rec.checkNoSecret(t)
			keepsTheURL(t, dir)
		})
	}
}

// keepsTheURL checks that the journal does hold the secret, and that only its
// owner may read the file.
func keepsTheURL(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, journal.FileName)
	content, err := os.ReadFile(name)
	if err != nil || !bytes.Contains(content, []byte(marker)) {
		t.Errorf("the journal has not kept the URL: %v", err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode of the journal: %v, %v", st.Mode(), err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func postOf(url string) string {
	return fmt.Sprintf(`{"version":"1.2.3","package_url":%q,"package_name":"u.bin","package_size":%d,"package_md5":%q}`, url, object.Len(), object.MD5())
}

// request records the header and the body of the API's answer.
func (rec *recorder) request(t *testing.T, method, addr, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(rec, "%s %s %v\n%s\n", method, path, resp.Header, answer)
	if bytes.Contains(answer, []byte(`"code":429`)) { // commands are limited
		time.Sleep(time.Second)
		rec.request(t, method, addr, path, body)
	}
}

// status records the output of otad status, as text and as JSON.
func (rec *recorder) status(t *testing.T, flags []string) {
	t.Helper()
	for _, args := range [][]string{{"status"}, {"status", "-json"}} {
		out, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.run(t.Context(), t, out, func(string) {}, append(args, flags...)...); err != nil && !app.Printed(err) {
			t.Error(err)
		}
		printed, err := os.ReadFile(out.Name())
		if err != nil || len(printed) == 0 {
			t.Errorf("otad status printed nothing: %v", err)
		}
		rec.Write(printed)
		out.Close()
	}
}

// The secrets are not in the log or in the error of a fetch either.
func TestFetchKeepsSecrets(t *testing.T) {
	urls := failures(t)
	for name, url := range map[string]string{
		"http to elsewhere": secretive("http://cdn.test/a"),
		"no scheme":         marker,
		"other scheme":      secretive("ftp://cdn.test/a"),
		"not a URL":         "https://[" + marker,
		"no host":           secretive("https:///a"),
		"bad escape":        "https://a/%zz" + marker,
		"no name":           secretive("https://a.test/"),
	} {
		urls[name] = url
	}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			var rec recorder
			err := rec.run(t.Context(), t, nil, func(string) {},
				"fetch", "-state-dir", t.TempDir(), "-retries", "0", "-log-level", "debug",
				"-header-file", headerFile(t, 0o600, "Private-Token: "+marker+"\n"),
				"-md5", object.MD5(), "-size", fmt.Sprint(object.Len()), url)
			if err == nil {
				t.Error("no error")
			}
			fmt.Fprintf(&rec, "otad: %v\n", err)
			rec.checkNoSecret(t)
		})
	}
}

// What authorizes the board reaches the origin with every request, but no other
// origin, and none of otad's output. The first try fails, the second is
// redirected.
func TestCredentialsStayWithTheOrigin(t *testing.T) {
	t.Parallel()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(marker+":"+marker))
	for name, test := range map[string]struct {
		userinfo, lines string
		want            http.Header
	}{
		"userinfo":    {userinfo: marker + ":" + marker + "@", want: http.Header{"Authorization": {basic}}},
		"header file": {lines: "Authorization: Bearer " + marker, want: http.Header{"Authorization": {"Bearer " + marker}}},
		"both": {marker + ":" + marker + "@", "Private-Token: " + marker + "\nX-Jfrog-Art-Api: " + marker,
			http.Header{"Authorization": {basic}, "Private-Token": {marker}, "X-Jfrog-Art-Api": {marker}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := origintest.New(t, object)
			origin := origintest.NewConfig(t, origintest.Config{Object: object, Allow: origintest.Authorization,
				Script: []*origintest.Rule{origintest.On(1).ResetAt(200_000), origintest.On(2).Redirect(302, other.URL())}})
			receiver, received := credentialsReceiver(t)
			again := fsm.TryAgain{First: time.Second, Longest: time.Second} // long enough to be seen
			d := startDaemon(t, again, "-log-level", "debug", "-checkpoint", "64KiB", "-callback-url", receiver,
				"-header-file", headerFile(t, 0o600, test.lines+"\n"))
			if code := d.post(t, "u.bin", strings.Replace(origin.URL(), "://", "://"+test.userinfo, 1), object); code != 200 {
				t.Fatalf("code %d", code)
			}
			d.until(t, "Failed", func(p deviceapi.Progress) bool {
				for _, path := range []string{"/api/v1.0/progress", "/metrics", "/healthz"} {
					d.out.request(t, http.MethodGet, d.addr, path, "")
				}
				return p.Tries > 0
			})
			d.until(t, "Ready", func(p deviceapi.Progress) bool { return p.State == "Ready" })
			d.out.request(t, http.MethodGet, d.addr, "/metrics", "")
			d.out.status(t, []string{"-state-dir", d.dir, "-listen", d.addr})
			<-received
			d.wantEnded(t, "ready name=u.bin")
			requests := origin.Requests()
			if len(requests) != 2 {
				t.Errorf("%d requests, want 2", len(requests))
			}
			for _, r := range requests {
				for field, value := range test.want {
					if !slices.Equal(r.Header[field], value) {
						t.Errorf("request %d: %s is %q, want %q", r.N, field, r.Header[field], value)
					}
				}
			}
			elsewhere := other.Requests()
			if len(elsewhere) != 1 {
				t.Errorf("%d requests to the other origin, want 1", len(elsewhere))
			}
			for _, r := range elsewhere {
				if got := fmt.Sprint(r.Target, r.Header); strings.Contains(got, marker) || r.Header["Authorization"] != nil {
					t.Errorf("the other origin got %s", got)
				}
			}
			d.out.checkNoSecret(t)
		})
	}
}

// credentialsReceiver takes callbacks, fails the test for one with the marker,
// and closes the channel when one reports the package.
func credentialsReceiver(t *testing.T) (url string, received <-chan struct{}) {
	t.Helper()
	done := make(chan struct{})
	once := sync.OnceFunc(func() { close(done) })
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if got := fmt.Sprintf("%v %s", r.Header, body); err != nil || strings.Contains(got, marker) {
			t.Errorf("callback: %v, %s", err, got)
		}
		if bytes.Contains(body, []byte(`"toInstall"`)) {
			once()
		}
	}))
	t.Cleanup(receiver.Close)
	return receiver.URL, done
}
