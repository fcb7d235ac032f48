package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"otad/board/app"
	"otad/board/config"
	"otad/journal"
	"otad/netio/origintest"
)

// marker stands wherever a URL can hold a secret.
const marker = "s3cr3tM4rk3r"

// secretive is url with the marker in its userinfo, query and fragment.
func secretive(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	return scheme + "://" + marker + ":" + marker + "@" + rest + "?X-Amz-Signature=" + marker + "&n=%22" + marker + "#" + marker
}

var object = origintest.Object{Size: 500_000, Seed: 1}

// failures are URLs whose jobs fail, each at another place; what the server says of the URL says the marker too.
func failures(t *testing.T) map[string]string {
	said := "http://a/b?X-Amz-Signature=" + marker + " is " + marker
	serving := func(rules ...*origintest.Rule) string { return secretive(origintest.New(t, object, rules...).URL()) }
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
		"certificate":      secretive(origintest.NewConfig(t, origintest.Config{TLS: &origintest.TLS{}, Allow: origintest.Malformed}).URL()),
	}
}

// overheard is all that otad says, from whichever side.
type overheard struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *overheard) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// saysNothing looks for the marker.
func (o *overheard) saysNothing(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all.Len() == 0 {
		t.Error("nothing was heard at all")
	}
	for line := range strings.Lines(o.all.String()) {
		if strings.Contains(line, marker) {
			t.Errorf("the secret got out: %s", line)
		}
	}
}

// run is otad with these arguments, up to its end; each line of its stderr is heard, and told.
func (o *overheard) run(ctx context.Context, t *testing.T, stdout *os.File, told func(line string), args ...string) error {
	t.Helper()
	cfg, err := config.Parse(args, nil, io.Discard)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			fmt.Fprintln(o, lines.Text())
			told(lines.Text())
		}
	})
	err = app.Run(ctx, cfg, app.Build{Version: "test"}, stdout, w)
	w.Close()
	reading.Wait()
	r.Close()
	return err
}

// TestServeKeepsSecrets: neither the log, nor the API's answers, nor the callbacks, nor the metrics, nor otad status
// give away what a job's URL or the callback's URL holds.
func TestServeKeepsSecrets(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			var heard overheard
			ended := make(chan struct{}, 100)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				fmt.Fprintf(&heard, "callback %v %s\n", r.Header, body)
				if bytes.Contains(body, []byte(`"failed"`)) {
					ended <- struct{}{}
				}
			}))
			defer receiver.Close()
			addr, dir := freeAddress(t), t.TempDir()
			flags := []string{"-state-dir", dir, "-listen", addr, "-log-format", format, "-log-level", "debug"}
			ctx, stop := context.WithCancel(t.Context())
			serving, gone := make(chan struct{}), make(chan error, 1)
			go func() {
				ready := sync.OnceFunc(func() { close(serving) })
				gone <- heard.run(ctx, t, nil, func(line string) {
					if strings.Contains(line, "serving") {
						ready()
					}
				}, append([]string{"serve", "-retries", "0", "-callback-url", receiver.URL + "?token=" + marker}, flags...)...)
			}()
			select {
			case <-serving:
			case err := <-gone:
				t.Fatal(err)
			}
			heard.ask(t, http.MethodPost, addr, "/api/v1.0/download", postOf(secretive("http://cdn.test/a"))) // refused
			for name, url := range failures(t) {
				fmt.Fprintln(&heard, "===", name)
				heard.ask(t, http.MethodPost, addr, "/api/v1.0/download", postOf(url))
				<-ended
				for _, path := range []string{"/api/v1.0/progress", "/metrics", "/healthz"} {
					heard.ask(t, http.MethodGet, addr, path, "")
				}
				heard.status(t, flags)
			}
			stop()
			fmt.Fprintln(&heard, <-gone)
			heard.status(t, flags) // of the journal now
			heard.saysNothing(t)
			keepsTheURL(t, dir)
		})
	}
}

// keepsTheURL checks that the journal does hold the secret, and that nobody else may read it.
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

// ask hears the API's answer, header and body.
func (o *overheard) ask(t *testing.T, method, addr, path, body string) {
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
	fmt.Fprintf(o, "%s %s %v\n%s\n", method, path, resp.Header, answer)
}

// status hears what otad status prints, as text and as JSON.
func (o *overheard) status(t *testing.T, flags []string) {
	t.Helper()
	for _, args := range [][]string{{"status"}, {"status", "-json"}} {
		out, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := o.run(t.Context(), t, out, func(string) {}, append(args, flags...)...); err != nil {
			t.Error(err)
		}
		printed, err := os.ReadFile(out.Name())
		if err != nil || len(printed) == 0 {
			t.Errorf("otad status printed nothing: %v", err)
		}
		o.Write(printed)
		out.Close()
	}
}

// TestFetchKeepsSecrets: the same of a fetch in the foreground, and of the error that it ends with.
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
			var heard overheard
			err := heard.run(t.Context(), t, nil, func(string) {},
				"fetch", "-state-dir", t.TempDir(), "-retries", "0", "-log-level", "debug",
				"-md5", object.MD5(), "-size", fmt.Sprint(object.Len()), url)
			if err == nil {
				t.Error("no error")
			}
			fmt.Fprintf(&heard, "otad: %v\n", err)
			heard.saysNothing(t)
		})
	}
}
