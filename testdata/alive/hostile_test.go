package alive

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"otad/journal"
	"otad/testdata/otadrun"
)

// hostile has what a terminal executes, what ends a line, and what turns or hides
// text: C0, C1 as a character and as a byte, DEL, bidi marks, separators, zero
// width, a tag, and no UTF-8.
const hostile = "a\x1b]0;x\x07\u009b2J\x9b\x7f\u202e\u2066\u200f\u2028\u2029\u0085\u200b\ufeff\U000e0041\xff"

// clean are the characters of hostile that a job's URL can have.
var clean = strings.ToValidUTF8(hostile, "")

// wantPrintable checks that text has only lines of printable ASCII.
func wantPrintable(t *testing.T, what, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		for _, c := range []byte(strings.TrimSuffix(line, "\n")) {
			if c < ' ' || c > '~' {
				t.Errorf("%s has the byte %#x: %q", what, c, line)
				return
			}
		}
	}
}

// hostileOrigin answers each path with another text. It returns its URL.
func hostileOrigin(t *testing.T, answers map[string]string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					io.WriteString(conn, answers[strings.TrimPrefix(req.URL.Path, "/")])
				}
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/"
}

// collect returns what init is sent until it is called.
func (i inits) collect() func() []string {
	var all []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for b := make([]byte, 4096); ; {
			n, err := i.Read(b)
			if err != nil {
				return
			}
			all = append(all, string(b[:n]))
		}
	}()
	return func() []string {
		i.Close()
		<-ended
		return all
	}
}

// bodies are what a receiver of callbacks has got, header fields included.
type bodies struct {
	mu   sync.Mutex
	text string
}

func (b *bodies) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	for name, values := range r.Header {
		b.text += name + ": " + strings.Join(values, ",") + "\n"
	}
	b.text += string(body) + "\n"
}

func (b *bodies) all() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text
}

// raw sends a request as it is.
func (s serving) raw(t *testing.T, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, request)
	check(t, err)
	reply, _ := io.ReadAll(conn)
	return string(reply)
}

// Whatever an origin or a client of the API sends, what otad writes is ASCII.
func TestHostileTextsAreShownEscaped(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"status":   "HTTP/1.1 404 " + hostile + "\r\nContent-Length: 0\r\n\r\n",
		"field":    "HTTP/1.1 200 OK\r\n" + hostile + ": " + hostile + "\r\n\r\n",
		"type":     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/html;" + hostile + "\r\nETag: \"" + hostile + "\"\r\n\r\nabc",
		"redirect": "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: https://%E2%80%AE%C2%9B%E2%80%8B.example:1/" + hostile + "\r\n\r\n",
		"encoding": "HTTP/1.1 206 OK\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/9\r\nContent-Encoding: " + hostile + "\r\n\r\na",
		"s3":       "HTTP/1.1 403 Forbidden\r\nContent-Length: 300\r\n\r\n<Error><Code>" + hostile + "</Code><Message>" + hostile + "</Message></Error>",
	}
	base := hostileOrigin(t, answers)
	received := new(bodies)
	receiver := httptest.NewServer(received)
	defer receiver.Close()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state\u202e\u009b")
			check(t, os.Mkdir(dir, 0o700))
			systemd := newInit(t)
			told := systemd.collect()
			s := startServing(t, func(cmd *exec.Cmd) {
				cmd.Env = append(append(cmd.Env, "OTAD_X"+hostile+"=1"), systemd.env...)
			}, "-state-dir", dir, "-listen", "unix:"+filepath.Join(dir, "s"), "-retries", "0", "-try-again", "off", "-log-format", format, "-log-level", "debug", "-callback-url", receiver.URL)
			client := otadrun.NewClient(s.addr)
			defer client.Close()
			var shown string
			for path := range answers {
				job := otadrun.Job{Name: path + " Пакет-包.zip", Version: "1.2.3", URL: base + path + "?" + clean, Size: 9, MD5: strings.Repeat("0a", 16)}
				answer, err := client.Post(t.Context(), job)
				check(t, err)
				check(t, answer.Err())
				_, err = client.AwaitState(t.Context(), "Failed", 20*time.Second)
				check(t, err)
				progress, _, err := client.Get(t.Context(), "/progress")
				check(t, err)
				shown += string(progress)
				var decoded struct {
					Data struct {
						Name    string `json:"package_name"`
						Error   string
						Message string
					}
				}
				check(t, json.Unmarshal(progress, &decoded))
				if decoded.Data.Name != job.Name {
					t.Errorf("the name is %q, want %q", decoded.Data.Name, job.Name)
				}
				wantPrintable(t, "the error in /progress", decoded.Data.Error)
				shown += statusOf(t, 1, "-listen", s.addr)
			}
			for _, request := range []string{
				"GET /" + hostile + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
				"GET /%1b%9b%e2%80%ae%0a HTTP/1.1\r\nHost: evil.example\r\n\r\n",
				"GET /\u202e\u009b HTTP/1.1\r\nHost: evil.example\r\n\r\n",
				"GET / HTTP/1.1\r\nHost: \u202e\u009b\r\n\r\n",
				"POST /api/v1.0/download HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(clean)+20) + "\r\n\r\n" + `{"package_name":"` + clean + `"} `,
			} {
				shown += s.raw(t, request)
			}
			time.Sleep(1100 * time.Millisecond) // refused requests are logged once a second
			s.ends(t, 0)
			stderr := s.Stderr.String()
			wantPrintable(t, "the log", stderr)
			wantPrintable(t, "the API or status", strings.ReplaceAll(shown, "\r", ""))
			for _, flag := range []string{"-json", "-json=false"} {
				text := statusOf(t, 3, flag, "-listen", s.addr, "-state-dir", dir)
				wantPrintable(t, "status of the journal", text)
				if !strings.Contains(text, `\u041f\u0430\u043a\u0435\u0442-\u5305.zip`) {
					t.Errorf("the name is not there: %s", text)
				}
			}
			for _, want := range []string{"request refused", `a setting is ignored`, `\u202e`, `\u041f`} {
				if !strings.Contains(stderr, want) {
					t.Errorf("the log lacks %q:\n%s", want, stderr)
				}
			}
			wantPrintable(t, "the status of the unit", strings.Join(told(), "\n"))
		})
	}
	if got := received.all(); strings.Count(got, `"stage":"failed"`) != 2*len(answers) {
		t.Errorf("%d callbacks of failures, want %d", strings.Count(got, `"stage":"failed"`), 2*len(answers))
	}
	wantPrintable(t, "a callback", received.all())
}

// statusOf returns what otad status prints, which ends with the code.
func statusOf(t *testing.T, code int, flags ...string) string {
	t.Helper()
	cmd := otad(t, append([]string{"status"}, flags...)...)
	text, _ := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("status %q: exit code %d, want %d: %s", flags, got, code, text)
	}
	return string(text)
}

// A journal of an earlier otad, or one that somebody has made, may hold any text.
func TestHostileJournalsAreShownEscaped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := "u\u202epiz.bin\u200b"
	d, err := os.Open(dir)
	check(t, err)
	defer d.Close()
	j, err := journal.Open(d, journal.Options{})
	check(t, err)
	_, err = j.Update(func(r *journal.Record) {
		r.Job = journal.Job{Version: "1.2.3", Name: name, URL: "https://\u202e.example/" + clean, Size: 9, MD5: strings.Repeat("0a", 16)}
		r.State, r.Code, r.Error = "Failed", "DOWNLOAD_FAILED", "DOWNLOAD_FAILED: "+hostile
		r.Outbox = []journal.OutboxEntry{{Seq: 1, State: "Failed", Code: "DOWNLOAD_FAILED", Message: hostile, Error: hostile}}
		r.OutboxSeq = 1
	})
	check(t, err)
	check(t, j.Close())
	line := statusOf(t, 3, "-state-dir", dir, "-listen", "unix:/nowhere")
	wantPrintable(t, "status", line)

	received := new(bodies)
	receiver := httptest.NewServer(received)
	defer receiver.Close()
	systemd := newInit(t)
	told := systemd.collect()
	s := startServing(t, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, systemd.env...) },
		"-state-dir", dir, "-try-again", "off", "-callback-url", receiver.URL)
	check(t, otadrun.Await(10*time.Second, "a callback", func() (bool, error) { return received.all() != "", nil }))
	progress := s.raw(t, "GET /progress HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	s.ends(t, 0)
	wantPrintable(t, "/progress", strings.ReplaceAll(progress, "\r", ""))
	wantPrintable(t, "the callback", received.all())
	for _, text := range []string{progress, received.all()} {
		_, text, _ = strings.Cut(text, "{")
		var decoded struct {
			Message, Error string
			Data           struct{ Message, Error string }
		}
		check(t, json.Unmarshal([]byte("{"+text), &decoded))
		d := decoded.Data
		wantPrintable(t, "a decoded text", decoded.Message+decoded.Error+d.Message+d.Error)
		if !strings.Contains(decoded.Error+d.Error, `\u202e`) {
			t.Errorf("no error in %s", text)
		}
	}
	wantPrintable(t, "the log", s.Stderr.String())
	wantPrintable(t, "the status of the unit", strings.Join(told(), "\n"))
	if !strings.Contains(progress, `"package_name":"u\u202epiz.bin\u200b"`) || !strings.Contains(line, `u\u202epiz.bin`) {
		t.Errorf("the name is not shown: %s, %s", line, progress)
	}
}

// What is wrong in the configuration is quoted in the one line about it.
func TestHostileSettingsAreShownEscaped(t *testing.T) {
	t.Parallel()
	md5 := strings.Repeat("0a", 16)
	for _, args := range [][]string{
		{"serve", "-log-level", hostile},
		{"serve", "-" + hostile, "1"},
		{hostile},
		{"serve", "-config", "/nowhere/" + clean},
		{"status", "-state-dir", "/nowhere/" + clean, "-listen", "unix:/nowhere"},
		{"fetch", "-md5", md5, "-name", clean, "http://127.0.0.1:1/"},
		{"fetch", "-md5", md5, "http://127.0.0.1:1/%E2%80%AE%C2%9B"},
		{"fetch", "-md5", md5, "-url-file", "/nowhere/" + clean},
		{"fetch", "-md5", md5, "-name", "u", "x\u202e://127.0.0.1:1/"},
	} {
		code, stdout, stderr := outcome(t, otad(t, args...))
		wantPrintable(t, fmt.Sprintf("%q", args), stdout+stderr)
		if code != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
	}
}
