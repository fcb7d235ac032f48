package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"otad/board/app"
	"otad/board/config"
	"otad/board/deviceapi"
)

// over returns a client whose connections go to that Unix socket.
func over(path string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
}

// deleteJob sends DELETE and returns the HTTP status.
func deleteJob(t *testing.T, c *http.Client, base string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodDelete, base+"/api/v1.0/download", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (rec *recorder) text() string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.all.String()
}

// The kernel decides who may use the socket; over TCP the token does.
func TestCommandsOverAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	d := startDaemon(t, soon, "-listen", "unix:"+path, "-token-file", tokenFile(t, "correct-horse-battery", 0o600))
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := st.Mode(); mode.Perm() != 0o660 || mode.Type() != os.ModeSocket {
		t.Errorf("mode %v, want a socket of 0660", mode)
	}
	if status := deleteJob(t, http.DefaultClient, "http://"+d.addr); status != 401 {
		t.Errorf("over TCP without the token: HTTP %d, want 401", status)
	}
	if status := deleteJob(t, over(path), "http://any.name"); status != 200 {
		t.Errorf("over the socket: HTTP %d, want 200", status)
	}
	want := fmt.Sprintf(`msg=command method=DELETE path=/api/v1.0/download peer="uid %d gid %d pid %d"`, os.Getuid(), os.Getgid(), os.Getpid())
	if log := d.out.text(); !strings.Contains(log, want) {
		t.Errorf("the log lacks %s:\n%s", want, log)
	}
	// A mode that lets everybody in does not take the place of the token.
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if status := deleteJob(t, over(path), "http://localhost"); status != 401 {
		t.Errorf("over a socket for everybody: HTTP %d, want 401", status)
	}
}

func TestStatusOverAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	d := startDaemon(t, soon, "-listen", "unix:"+path)
	for _, listen := range [][]string{
		{"-listen", "unix:" + path},
		{"-listen", "unix:" + path + ".none", "-listen", "unix:" + path},
		{"-listen", "127.0.0.1:1", "-listen", "unix:" + path},
		{"-listen", "unix:" + path + ".none", "-listen", d.addr},
	} {
		got := statusOf(t, append([]string{"-state-dir", d.dir}, listen...)...)
		if !strings.HasPrefix(got, "Idle 0%") {
			t.Errorf("%q: %q", listen, got)
		}
	}
}

func TestSocketOfAKilledOtadIsReplaced(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	used := filepath.Join(dir, "used.sock")
	if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: used, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, problem string }{
		{left, ""},
		{used, "stop what uses it"},
		{file, "stop what uses it"},
		{filepath.Join(dir, "none", "api.sock"), "make its directory"},
	} {
		l, err := app.Listen("unix:" + tt.path)
		if err == nil {
			l.Close()
		}
		if (err == nil) != (tt.problem == "") || err != nil && (!strings.Contains(err.Error(), tt.problem) || !strings.Contains(err.Error(), tt.path)) {
			t.Errorf("%s: %v", tt.path, err)
		}
	}
	if content, err := os.ReadFile(file); string(content) != "kept" {
		t.Errorf("a file in the way: %q, %v", content, err)
	}
}

// serve warns of doors that nobody has closed.
func TestOpenDoorsAreWarnedOf(t *testing.T) {
	const local, network, written, short = "every local user may command", "everyone on the network may command", "others can write", "short enough to be guessed"
	good, socket := tokenFile(t, "correct-horse-battery", 0o600), "unix:"+filepath.Join(t.TempDir(), "api.sock")
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"loopback", []string{"-listen", "127.0.0.1:0"}, []string{local}},
		{"wildcard", []string{"-listen", "0.0.0.0:0"}, []string{network}},
		{"any address", []string{"-listen", ":0"}, []string{network}},
		{"a socket alone", []string{"-listen", socket}, nil},
		{"a socket and loopback", []string{"-listen", socket, "-listen", "127.0.0.1:0"}, []string{local}},
		{"wildcard with a token", []string{"-listen", ":0", "-token-file", good}, nil},
		{"a token that others can write", []string{"-listen", ":0", "-token-file", tokenFile(t, "correct-horse-battery", 0o666)}, []string{written}},
		{"a short token", []string{"-listen", ":0", "-token-file", tokenFile(t, "123456", 0o600)}, []string{short}},
		{"a short callback token", []string{"-listen", socket, "-callback-url", "http://127.0.0.1:1/", "-callback-token-file", tokenFile(t, "123456", 0o600)}, []string{short}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var rec recorder
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			err := rec.run(ctx, t, nil, func(line string) {
				if strings.Contains(line, "msg=serving") {
					stop()
				}
			}, append([]string{"serve", "-state-dir", t.TempDir()}, tt.args...)...)
			if !errors.Is(err, app.ErrStopped) {
				t.Fatal(err)
			}
			for _, text := range []string{local, network, written, short} {
				want := 0
				for _, w := range tt.want {
					if w == text {
						want = 1
					}
				}
				if got := strings.Count(rec.text(), text); got != want {
					t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, rec.text())
				}
			}
		})
	}
}

// TestActivatedChild is the otad serve of TestSocketActivation.
func TestActivatedChild(t *testing.T) {
	if os.Getenv("ACTIVATED_CHILD") == "" {
		t.Skip("only for TestSocketActivation")
	}
	cfg, err := config.Parse(strings.Fields(os.Getenv("ACTIVATED_CHILD")), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	if err := app.Run(ctx, cfg, app.Build{Version: "test"}, os.Stdout, os.Stderr); !errors.Is(err, app.ErrStopped) {
		t.Fatal(err)
	}
}

// systemd passes the sockets of otad.socket: a client that came before otad is
// answered, and the addresses are not bound again.
func TestSocketActivation(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	path := filepath.Join(t.TempDir(), "api.sock")
	unixSocket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer unixSocket.Close()
	var files []*os.File
	for _, l := range []interface{ File() (*os.File, error) }{tcp.(*net.TCPListener), unixSocket.(*net.UnixListener)} {
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	for _, tt := range []struct {
		name, pid, fds string
		ready          string // a part of the line that ends the wait
	}{
		{"for this process", "$$", "2", "msg=serving listen=\"" + tcp.Addr().String() + " " + path + "\""},
		{"for another process", "1", "2", "address already in use"},
		{"no socket", "$$", "3", "descriptor 5"},
		{"no number", "$$", "two", "LISTEN_FDS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			child := exec.Command("sh", "-c", "LISTEN_PID="+tt.pid+" LISTEN_FDS="+tt.fds+` exec "$0" -test.run '^TestActivatedChild$'`, os.Args[0])
			child.Env = append(os.Environ(), "ACTIVATED_CHILD=serve -min-free 0 -state-dir "+t.TempDir()+" -listen "+tcp.Addr().String())
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			child.ExtraFiles = append(append([]*os.File{}, files...), null)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			child.Stdout, child.Stderr = w, w
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			out := bufio.NewScanner(r)
			found := false
			for !found && out.Scan() {
				found = strings.Contains(out.Text(), tt.ready)
			}
			if !found {
				t.Errorf("no line with %q", tt.ready)
			}
			if found && tt.ready[:3] == "msg" {
				if p, err := deviceapi.Ask(t.Context(), tcp.Addr().String()); err != nil || p.Stage != "idle" {
					t.Errorf("over TCP: %v, %v", p, err)
				}
				if p, err := deviceapi.Ask(t.Context(), "unix:"+path); err != nil || p.Stage != "idle" {
					t.Errorf("over the socket: %v, %v", p, err)
				}
				child.Process.Signal(syscall.SIGTERM)
			}
			go io.Copy(io.Discard, r)
			err = child.Wait()
			if (err == nil) != (tt.ready[:3] == "msg") {
				t.Errorf("the child ended by %v", err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("systemd's socket is gone: %v", err)
			}
		})
	}
}
