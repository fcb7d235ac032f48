package app_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"otad/board/app"
	"otad/netio/origintest"
)

// tokenFile returns a new file with that content and mode.
func tokenFile(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTokenFiles(t *testing.T) {
	const long = "correct-horse-battery"
	for _, tt := range []struct {
		name, content string
		mode          os.FileMode
		token, log    string // log: a part of the warning; empty: none
		problem       string // a part of the error
	}{
		{"good", long + "\n", 0o600, long, "", ""},
		{"others may read it", long, 0o644, long, "", ""},
		{"only the first line counts", " " + long + " \r\nmore\n", 0o400, long, "", ""},
		{"the group can write it", long, 0o620, long, "others can write", ""},
		{"everybody can write it", long, 0o602, long, "others can write", ""},
		{"15 characters", "123456789012345", 0o600, "123456789012345", "short enough to be guessed", ""},
		{"16 characters", "1234567890123456", 0o600, "1234567890123456", "", ""},
		{"an empty first line", "\n" + long, 0o600, "", "", "first line is empty"},
		{"empty", "", 0o600, "", "", "first line is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			token, err := app.ReadToken(tokenFile(t, tt.content, tt.mode), slog.New(slog.NewTextHandler(&log, nil)))
			if token != tt.token || (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("got %q, %v", token, err)
			}
			if text := log.String(); (text == "") != (tt.log == "") || !strings.Contains(text, tt.log) || strings.Contains(text, tt.token) && tt.token != "" {
				t.Errorf("log %q, want %q", text, tt.log)
			}
		})
	}
}

func TestTokenFIFOsDoNotHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := app.ReadToken(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
}

// A receiver gets the token and can tell which job a post is about.
func TestCallbacksCarryTheTokenAndTheJob(t *testing.T) {
	posts := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Stage string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		h := r.Header
		if h.Get("Otad-Sequence") != "" {
			posts <- strings.Join([]string{body.Stage, h.Get("Authorization"), h.Get("Otad-Version"), h.Get("Otad-Package"),
				h.Get("Otad-MD5"), h.Get("Otad-Sequence")}, " ")
		}
	}))
	defer receiver.Close()
	object := origintest.Object{Size: 1 << 16}
	origin := origintest.New(t, object)
	d := startDaemon(t, soon, "-callback-url", receiver.URL, "-callback-token-file", tokenFile(t, "correct-horse-battery", 0o600))
	if code := d.post(t, "u.bin", origin.URL(), object); code != 200 {
		t.Fatal(code)
	}
	job := " Bearer correct-horse-battery 1.2.3 u.bin " + object.MD5()
	for _, want := range []string{"downloading" + job + " 1", "verifying" + job + " 2", "toInstall" + job + " 3"} {
		select {
		case got := <-posts:
			if got != want {
				t.Errorf("posted %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no post, want %q", want)
		}
	}
}
