package alive

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// serving is a real otad serve that answers.
type serving struct {
	*otadrun.Process
	addr string
}

// startServing starts otad serve with further flags and waits until it answers.
// change may alter the command before it starts.
func startServing(t *testing.T, change func(*exec.Cmd), flags ...string) serving {
	t.Helper()
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(t, err)
	cmd := otad(t, append([]string{"serve", "-state-dir", t.TempDir(), "-listen", addr, "-min-free", "0"}, flags...)...)
	if change != nil {
		change(cmd)
	}
	s := serving{start(t, cmd), addr}
	check(t, s.Await(20*time.Second, "otad answers", func() (bool, error) {
		code, err := s.get("/healthz")
		return err == nil && code == http.StatusOK, nil
	}))
	return s
}

// get returns the HTTP status of a GET.
func (s serving) get(path string) (int, error) {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get("http://" + s.addr + path)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

// refused makes requests that otad refuses, each of which it logs.
func (s serving) refused(t *testing.T, n int) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	for i := range n {
		req, err := http.NewRequest(http.MethodGet, "http://"+s.addr+"/progress", nil)
		check(t, err)
		req.Host = "attacker.example"
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		resp.Body.Close()
	}
}

// ends sends SIGTERM and checks that otad ends with the code in time.
func (s serving) ends(t *testing.T, code int) {
	t.Helper()
	begun := time.Now()
	r, err := s.Stop(30 * time.Second)
	if took := time.Since(begun); err != nil || r.Code != code || took > 2*time.Second {
		t.Errorf("SIGTERM: exit code %d after %v (%v), want %d within 2 s", r.Code, took, err, code)
	}
}

func TestServeEndsWithZero(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := startServing(t, nil)
		check(t, s.Cmd.Process.Signal(sig))
		if r, err := s.WaitFor(10 * time.Second); err != nil || r.Code != 0 || strings.Contains("\n"+r.Stderr, "\notad:") {
			t.Errorf("%v: exit code %d (%v), %q", sig, r.Code, err, r.Stderr)
		}
	}
}

// The program that read the log has died: writing to it is SIGPIPE's cause.
func TestDeadLogReaderDoesNotEndServe(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	check(t, err)
	s := startServing(t, func(cmd *exec.Cmd) { cmd.Stderr, cmd.Stdout = w, w })
	w.Close()
	r.Close()
	s.refused(t, 10)
	if code, err := s.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d, %v", code, err)
	}
	s.ends(t, 0)
}

func TestHangupEndsFetch(t *testing.T) {
	t.Parallel()
	object := origintest.Object{Size: 1 << 20, Seed: 3}
	origin := origintest.New(t, object, origintest.Always().StallAt(1000))
	p := start(t, otad(t, "fetch", "-quiet", "-state-dir", t.TempDir(), "-name", "p.bin", "-min-free", "0", "-md5", object.MD5(), origin.URL()))
	<-origin.Stalled()
	check(t, p.Cmd.Process.Signal(syscall.SIGHUP))
	if r, err := p.WaitFor(10 * time.Second); err != nil || r.Code != 75 {
		t.Errorf("exit code %d, %v, want 75", r.Code, err)
	}
}

// Every user of the board can read the arguments of a process, and its own user
// the environment.
func TestURLFileIsInNoProcessList(t *testing.T) {
	t.Parallel()
	object := origintest.Object{Size: 1 << 20, Seed: 4}
	origin := origintest.New(t, object, origintest.Always().StallAt(1000))
	cmd := otad(t, "fetch", "-quiet", "-state-dir", t.TempDir(), "-name", "p.bin", "-min-free", "0", "-md5", object.MD5(), "-url-file", "-")
	cmd.Stdin = strings.NewReader(origin.URL() + "?X-Amz-Signature=s3cr3t\n")
	p := start(t, cmd)
	<-origin.Stalled()
	for _, name := range []string{"cmdline", "environ", "comm"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.Cmd.Process.Pid, name))
		if err != nil || len(text) == 0 || strings.Contains(string(text), "s3cr3t") {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if r, err := p.Stop(10 * time.Second); err != nil || r.Code != 75 || strings.Contains(r.Stdout+r.Stderr, "s3cr3t") {
		t.Errorf("exit code %d, %v, %q", r.Code, err, r.Stdout+r.Stderr)
	}
}

// A configuration that is a FIFO keeps the start waiting, but not the end.
func TestStartThatHangsEndsInTime(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "otad.conf")
	check(t, syscall.Mkfifo(fifo, 0o600))
	for command, code := range map[string]int{"serve": 0, "status": 75} {
		cmd := otad(t, command, "-config", fifo)
		cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // else the race detector waits for a second
		p := start(t, cmd)
		time.Sleep(300 * time.Millisecond)
		serving{p, ""}.ends(t, code)
	}
}

// hangup sends SIGHUP and waits for a line of the log about it.
func (s serving) hangup(t *testing.T, line string) {
	t.Helper()
	before := strings.Count(s.Stderr.String(), line)
	check(t, s.Cmd.Process.Signal(syscall.SIGHUP))
	check(t, s.Await(10*time.Second, line, func() (bool, error) {
		return strings.Count(s.Stderr.String(), line) > before, nil
	}))
}

// command sends a DELETE with the token and returns the code of the answer.
func (s serving) command(t *testing.T, token string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodDelete, "http://"+s.addr+"/api/v1.0/download", nil)
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	var answer struct{ Code int }
	check(t, json.NewDecoder(resp.Body).Decode(&answer))
	return answer.Code
}

func TestHangupRereadsWhatMayChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf, token, header := filepath.Join(dir, "otad.conf"), filepath.Join(dir, "token"), filepath.Join(dir, "header")
	write := func(path, text string) { t.Helper(); check(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(conf, "rate-limit 64KiB\nretries 3\n")
	write(token, "first-token-of-the-test\n")
	write(header, "X-Key: first\n")
	object := origintest.Object{Size: 4 << 20, Seed: 6}
	origin := origintest.New(t, object)
	s := startServing(t, nil, "-config", conf, "-token-file", token, "-header-file", header)
	post := func(token string) int {
		t.Helper()
		body := fmt.Sprintf(`{"version":"1.2.3","package_url":%q,"package_name":"u.bin","package_size":%d,"package_md5":%q}`, origin.URL(), object.Size, object.MD5())
		req, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/api/v1.0/download", strings.NewReader(body))
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		check(t, err)
		defer resp.Body.Close()
		var answer struct{ Code int }
		check(t, json.NewDecoder(resp.Body).Decode(&answer))
		return answer.Code
	}
	if code := post("first-token-of-the-test"); code != 200 {
		t.Fatalf("code %d", code)
	}
	waitFor(t, origin, 1000) // at this rate the package takes a minute

	// What cannot be read changes nothing.
	write(conf, "rate-limit much\n")
	s.hangup(t, "cannot be read again")
	write(conf, "rate-limit 0\nretries 3\n")
	write(token, "\n")
	s.hangup(t, "cannot be read again")
	if code := s.command(t, "wrong"); code != 401 {
		t.Errorf("after a reload that failed: code %d, want 401", code)
	}

	write(conf, "rate-limit 0\nretries 9\nlog-level debug\n")
	write(token, "second-token-of-the-test\n")
	write(header, "X-Key: second\n")
	s.hangup(t, "msg=reloaded")
	if !strings.Contains(s.Stderr.String(), "needs a restart") {
		t.Error("the log does not say that retries needs a restart")
	}
	if code := s.command(t, "first-token-of-the-test"); code != 401 {
		t.Errorf("the old token: code %d, want 401", code)
	}
	check(t, s.Await(20*time.Second, "Ready without the rate limit", func() (bool, error) {
		code, body := s.body(t, "/progress")
		return code == 200 && strings.Contains(body, `"Ready"`), nil
	}))
	requests := origin.Requests()
	last := requests[len(requests)-1]
	if len(requests) != 2 || last.Start == 0 || last.Header.Get("X-Key") != "second" {
		t.Errorf("%d requests, the last from %d with X-Key %q", len(requests), last.Start, last.Header.Get("X-Key"))
	}
	if _, body := s.body(t, "/metrics"); !strings.Contains(body, `ota_download_retries_total{reason="other"} 0`) || strings.Contains(body, `retries_total{reason="reset"} 1`) {
		t.Error("the reload has cost a retry")
	}
	if code := s.command(t, "second-token-of-the-test"); code != 200 {
		t.Errorf("the new token: code %d", code)
	}
	s.ends(t, 0)
}

// body returns the status and the body of a GET.
func (s serving) body(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.addr + path)
	check(t, err)
	defer resp.Body.Close()
	var text strings.Builder
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
	}
	return resp.StatusCode, text.String()
}

// fullPipe returns the writing end of a pipe that nobody reads, and its reading
// end.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	check(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// The program that reads the log hangs. The log is dropped; otad works.
func TestHangingLogReaderDoesNotStopServe(t *testing.T) {
	t.Parallel()
	r, w := fullPipe(t)
	s := startServing(t, func(cmd *exec.Cmd) {
		cmd.Stderr, cmd.Stdout = w, w
		cmd.Env = cmd.Environ()
		for i := range 3000 { // each is a warning: more than the pipe and the queue hold
			cmd.Env = append(cmd.Env, fmt.Sprintf("OTAD_UNKNOWN_%d=1", i))
		}
	})
	s.refused(t, 1000)
	object := origintest.Object{Size: 1 << 20, Seed: 7}
	origin := origintest.New(t, object)
	client := otadrun.NewClient(s.addr)
	defer client.Close()
	answer, err := client.Post(t.Context(), otadrun.Job{Name: "u.bin", Version: "1.2.3", URL: origin.URL(), Size: object.Size, MD5: object.MD5()})
	check(t, err)
	check(t, answer.Err())
	_, err = client.AwaitState(t.Context(), "Ready", 20*time.Second)
	check(t, err)
	_, metrics := s.body(t, "/metrics")
	count := regexp.MustCompile(`(?m)^ota_log_lines_dropped_total ([0-9.e+]+)$`).FindStringSubmatch(metrics)
	if count == nil {
		t.Fatal("no ota_log_lines_dropped_total")
	}
	if n, err := strconv.ParseFloat(count[1], 64); err != nil || n < 1000 {
		t.Errorf("%s lines dropped (%v)", count[1], err)
	}
	// The reader wakes up: the next line has the number of those that are lost.
	lines := make(chan string, 1)
	go func() {
		said := ""
		for scan := bufio.NewScanner(r); scan.Scan() && said == ""; {
			said = regexp.MustCompile(`log_lines_dropped=\d+`).FindString(scan.Text())
		}
		lines <- said
	}()
	check(t, s.Await(10*time.Second, "the dropped lines are reported", func() (bool, error) {
		s.refused(t, 1)
		return len(lines) > 0, nil
	}))
	if said := <-lines; said == "log_lines_dropped=0" {
		t.Error(said)
	}
	w.Close()
	s.ends(t, 0)
}

func TestHangingLogReaderDoesNotDelayTheEnd(t *testing.T) {
	t.Parallel()
	object := origintest.Object{Size: 1 << 20, Seed: 3}
	origin := origintest.New(t, object, origintest.Always().StallAt(1000))
	for name, run := range map[string]struct {
		args []string
		code int
	}{
		"serve":  {[]string{"serve", "-listen", "127.0.0.1:0"}, 0},
		"fetch":  {[]string{"fetch", "-name", "p.bin", "-min-free", "0", "-md5", object.MD5(), origin.URL()}, 75},
		"status": {[]string{"status", "-listen", "127.0.0.1:1"}, 3}, // an error to print at once
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, w := fullPipe(t)
			// The pipe is full before otad writes to it.
			fd := int(w.Fd())
			check(t, syscall.SetNonblock(fd, true))
			for err := error(nil); err == nil; {
				_, err = syscall.Write(fd, make([]byte, 1))
			}
			check(t, syscall.SetNonblock(fd, false))
			cmd := otad(t, append(run.args, "-state-dir", t.TempDir())...)
			cmd.Stderr = w
			p := start(t, cmd)
			if run.code == 3 {
				if r, err := p.WaitFor(2 * time.Second); err != nil || r.Code != run.code {
					t.Errorf("exit code %d, %v", r.Code, err)
				}
				return
			}
			time.Sleep(500 * time.Millisecond)
			serving{p, ""}.ends(t, run.code)
		})
	}
}

// inits is the init system's end of sd_notify(3).
type inits struct {
	*net.UnixConn
	env []string // of the daemon
}

func newInit(t *testing.T) inits {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(t, err)
	t.Cleanup(func() { l.Close() })
	return inits{l, []string{"NOTIFY_SOCKET=" + path}}
}

// await returns when n messages with the text have come.
func (i inits) await(t *testing.T, n int, text string) {
	t.Helper()
	check(t, i.SetReadDeadline(time.Now().Add(20*time.Second)))
	for b := make([]byte, 4096); n > 0; {
		got, err := i.Read(b)
		if err != nil {
			t.Fatalf("no %q: %v", text, err)
		}
		if strings.Contains(string(b[:got]), text) {
			n--
		}
	}
}

func TestWatchdogIsFedWhileTheMachineTurns(t *testing.T) {
	t.Parallel()
	systemd := newInit(t)
	s := startServing(t, func(cmd *exec.Cmd) {
		cmd.Env = append(append(cmd.Env, systemd.env...), "WATCHDOG_USEC=400000")
	})
	systemd.await(t, 1, "READY=1")
	systemd.await(t, 5, "WATCHDOG=1")
	s.ends(t, 0)
}

// The file is that of a newer otad, on a partition that both share.
func TestServeStartsWithUnknownSettings(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "otad.conf")
	check(t, os.WriteFile(conf, []byte("tell 2\nretries 5\n"), 0o600))
	s := startServing(t, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "OTAD_PORT=tcp://10.0.0.1:12315") }, "-config", conf)
	for _, want := range []string{"OTAD_PORT", conf + ":1: unknown key"} {
		if log := s.Stderr.String(); !strings.Contains(log, want) {
			t.Errorf("no warning of %s: %s", want, log)
		}
	}
	if _, metrics := s.body(t, "/metrics"); !strings.Contains(metrics, "\nota_config_warnings 2\n") {
		t.Error("ota_config_warnings is not 2")
	}
	check(t, os.WriteFile(conf, []byte("retries 5\n"), 0o600))
	s.hangup(t, "msg=reloaded")
	if _, metrics := s.body(t, "/metrics"); !strings.Contains(metrics, "\nota_config_warnings 1\n") {
		t.Error("after the reload ota_config_warnings is not 1")
	}
	s.ends(t, 0)
	if code, out, errs := outcome(t, otad(t, "check-config", "-config", conf)); code != 0 || out != "the configuration is valid\n" {
		t.Errorf("check-config: %d, %q, %q", code, out, errs)
	}
}

// The address of the metrics comes with DHCP.
func TestMetricsAddressThatComesLater(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	for name, addr := range map[string]string{"in use": taken.Addr().String(), "not of this board": "192.0.2.1:9315"} {
		s := startServing(t, nil, "-metrics-listen", addr)
		if code, err := s.get("/metrics"); code != http.StatusNotFound {
			t.Errorf("%s: /metrics on the API: %d, %v", name, code, err)
		}
		if name == "in use" {
			time.Sleep(5 * time.Second)
			check(t, taken.Close())
			check(t, s.Await(20*time.Second, "the metrics are served", func() (bool, error) {
				code, err := serving{s.Process, addr}.get("/metrics")
				return err == nil && code == http.StatusOK, nil
			}))
		}
		s.ends(t, 0)
		if n := strings.Count(s.Stderr.String(), addr); n == 0 || n > 2 {
			t.Errorf("%s: %d lines about the address: %s", name, n, &s.Stderr)
		}
	}
}

// The receiver of callbacks refuses connections, or takes them and is silent.
func TestCallbackReceiverThatIsAway(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer silent.Close()
	object := origintest.Object{Size: 1 << 20, Seed: 8}
	origin := origintest.New(t, object)
	for _, addr := range []string{"127.0.0.1:1", silent.Addr().String(), "nobody.invalid:80"} {
		s := startServing(t, nil, "-callback-url", "http://"+addr+"/cb")
		client := otadrun.NewClient(s.addr)
		defer client.Close()
		answer, err := client.Post(t.Context(), otadrun.Job{Name: "u.bin", Version: "1.2.3", URL: origin.URL(), Size: object.Size, MD5: object.MD5()})
		check(t, err)
		check(t, answer.Err())
		if _, err := client.AwaitState(t.Context(), "Ready", 20*time.Second); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
		s.ends(t, 0)
	}
}

// -tls-min holds for the receiver of callbacks too.
func TestCallbacksObeyTheLowestVersionOfTLS(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewUnstartedServer(nil)
	receiver.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	receiver.Config.ErrorLog = log.New(io.Discard, "", 0)
	receiver.StartTLS()
	defer receiver.Close()
	for version, want := range map[string]string{"1.2": "unknown authority", "1.3": "protocol version not supported"} {
		s := startServing(t, nil, "-tls-min", version, "-callback-url", receiver.URL)
		client := otadrun.NewClient(s.addr)
		answer, err := client.Post(t.Context(), otadrun.Job{Name: "u.zip", Version: "1.2.3", URL: "http://127.0.0.1:1/", Size: 1, MD5: strings.Repeat("0a", 16)})
		client.Close()
		check(t, err)
		check(t, answer.Err())
		if err := s.Await(10*time.Second, want, func() (bool, error) { return strings.Contains(s.Stderr.String(), want), nil }); err != nil {
			t.Errorf("%v: %s", err, s.Stderr.String())
		}
		s.ends(t, 0)
	}
}

// systemctl status shows what otad does.
func TestStatusLineOfTheUnit(t *testing.T) {
	t.Parallel()
	systemd := newInit(t)
	s := startServing(t, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, systemd.env...) })
	systemd.await(t, 1, "READY=1\nSTATUS=serving on "+s.addr)
	object := origintest.Object{Size: 8 << 20, Seed: 9}
	origin := origintest.NewConfig(t, origintest.Config{Object: object, Link: origintest.Link{BytesPerSecond: 8 << 20}})
	client := otadrun.NewClient(s.addr)
	defer client.Close()
	post := func(name string, url string) {
		t.Helper()
		answer, err := client.Post(t.Context(), otadrun.Job{Name: name, Version: "1.2.3", URL: url, Size: object.Size, MD5: object.MD5()})
		check(t, err)
		check(t, answer.Err())
	}
	post("u.zip", origin.URL())
	systemd.await(t, 1, "STATUS=u.zip 0 %")
	systemd.await(t, 1, "STATUS=u.zip 50 %")
	systemd.await(t, 1, "STATUS=u.zip ready")
	post("gone.zip", origintest.New(t, object, origintest.Always().Status(404)).URL())
	systemd.await(t, 1, "STATUS=gone.zip failed: DOWNLOAD_FAILED: HTTP 404")
	s.ends(t, 0)
	systemd.await(t, 1, "STOPPING=1")
}
