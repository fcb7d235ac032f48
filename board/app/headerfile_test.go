package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"otad/board/app"
)

// headerFile writes a header file and returns its path.
func headerFile(t *testing.T, mode os.FileMode, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "header")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestHeaderFile(t *testing.T) {
	for name, test := range map[string]struct {
		mode    os.FileMode
		content string
		want    http.Header
	}{
		"empty":    {0o600, "", http.Header{}},
		"comments": {0o400, "# Authorization: Bearer a\n\n  # b\n", http.Header{}},
		"fields": {0o600, "Authorization: Bearer a:b==  \r\nx-jfrog-art-api:c # d\nPRIVATE-TOKEN:\te\tf",
			http.Header{"Authorization": {"Bearer a:b=="}, "X-Jfrog-Art-Api": {"c # d"}, "Private-Token": {"e\tf"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := app.ReadHeader(headerFile(t, test.mode, test.content))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
	if got, err := app.ReadHeader(""); got != nil || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
}

func TestRefusedHeaderLines(t *testing.T) {
	lines := map[string]string{
		marker:                           "Name: value",
		": " + marker:                    "Name: value",
		"Authorization : " + marker:      "Name: value",
		"Bad Name: " + marker:            "Name: value",
		"N\u00e4me: " + marker:           "Name: value",
		marker + ":":                     "Name: value",
		"X-Token: a\x00" + marker:        "control character",
		"X-Token: a\r" + marker:          "control character",
		"x-first: " + marker:             "X-First is set twice",
		"HOST: " + marker:                "Host is set by otad",
		"Transfer-Encoding: " + marker:   "Transfer-Encoding is set by otad",
		"Proxy-Authorization: " + marker: "Proxy-Authorization is set by otad",
	}
	for _, name := range []string{"Range", "If-Match", "If-Range", "If-None-Match", "Accept-Encoding", "Content-Length",
		"Content-Type", "Connection", "Expect", "Keep-Alive", "TE", "Trailer", "Upgrade"} {
		lines[name+": "+marker] = "is set by otad"
	}
	for line, want := range lines {
		path := headerFile(t, 0o600, "# 1\nX-First: "+marker+"\n"+line+"\n")
		got, err := app.ReadHeader(path)
		if err == nil || got != nil || !strings.Contains(err.Error(), path+":3: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want line 3 and %q", line, got, err, want)
		} else if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(marker)) {
			t.Errorf("the secret got out: %v", err)
		}
	}
}

func TestRefusedHeaderFiles(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ path, want string }{
		"missing":           {filepath.Join(t.TempDir(), "none"), "no such file"},
		"directory":         {t.TempDir(), "not a regular file"},
		"FIFO":              {fifo, "not a regular file"},
		"for the group":     {headerFile(t, 0o640, ""), "mode 0640: want 0600 or 0400"},
		"for everybody":     {headerFile(t, 0o604, ""), "mode 0604"},
		"a program":         {headerFile(t, 0o700, ""), "mode 0700"},
		"longer than 16KiB": {headerFile(t, 0o600, strings.Repeat("#", 16<<10+1)), "longer than 16 KiB"},
	}
	if os.Geteuid() == 0 {
		foreign := headerFile(t, 0o600, "")
		if err := os.Chown(foreign, 12345, 0); err != nil {
			t.Fatal(err)
		}
		tests["of another user"] = struct{ path, want string }{foreign, "another user"}
	}
	for name, test := range tests {
		if got, err := app.ReadHeader(test.path); err == nil || got != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v, want %q", name, got, err, test.want)
		}
	}
}
