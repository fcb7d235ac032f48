package app_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"otad/board/app"
	"otad/board/config"
	"otad/netio/origintest"
)

func TestFetchTakesTheURLFromAFile(t *testing.T) {
	origin := origintest.New(t, object)
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(path, []byte("\n"+origin.URL()+"/x/u.bin?X-Amz-Signature=s3cr3t\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var rec recorder
	if err := rec.run(t.Context(), t, out, func(string) {}, "fetch", "-state-dir", dir, "-min-free", "0", "-md5", object.MD5(), "-url-file", path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "u.bin")); err != nil {
		t.Errorf("the name is not that of the URL: %v", err)
	}
}

func TestURLFiles(t *testing.T) {
	const url = "https://origin.example/u.zip?X-Amz-Signature=s3cr3t"
	for _, tt := range []struct{ name, content, url, problem string }{
		{"a line", url + "\n", url, ""},
		{"no line end", url, url, ""},
		{"blank lines around", "\n \r\n" + url + "\r\n\n", url, ""},
		{"the longest URL", url + strings.Repeat("x", 4096-len(url)) + "\n", url + strings.Repeat("x", 4096-len(url)), ""},
		{"empty", "", "", "is empty"},
		{"blank", "\n \n", "", "is empty"},
		{"two lines", url + "\n" + url, "", "more than one line"},
		{"endless", strings.Repeat(url, 1000), "", "longer than a URL"},
		{"no file name in it", "https://origin.example/?s3cr3t", "", "set -name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "url")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{path, "-"} {
				stdin, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer stdin.Close()
				f := &config.Fetch{URLFile: file}
				err = app.TakeURL(t.Context(), f, stdin, slog.New(slog.DiscardHandler))
				switch {
				case tt.problem == "":
					if err != nil || f.Job.URL != tt.url || f.Job.Name != "u.zip" {
						t.Errorf("%s: %+v, %v", file, f.Job, err)
					}
				case err == nil || !strings.Contains(err.Error(), tt.problem) || strings.Contains(err.Error(), "s3cr3t"):
					t.Errorf("%s: error %v, want %q", file, err, tt.problem)
				}
			}
		})
	}
	if err := app.TakeURL(t.Context(), &config.Fetch{URLFile: "/nowhere"}, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}

// A signed URL is a key, and a file that anybody can read shows it like a process
// list does.
func TestURLFilesThatOthersCanReadAreNamed(t *testing.T) {
	const plain, signed, basic = "https://origin.example/u.zip", "https://origin.example/u.zip?sig=s3cr3t", "https://u:s3cr3t@origin.example/u.zip"
	for _, tt := range []struct {
		url  string
		mode os.FileMode
		warn bool
	}{
		{signed, 0o600, false}, {signed, 0o400, false}, {signed, 0o622, false}, {plain, 0o644, false},
		{signed, 0o640, true}, {signed, 0o604, true}, {basic, 0o644, true},
	} {
		path := filepath.Join(t.TempDir(), "url")
		if err := errors.Join(os.WriteFile(path, []byte(tt.url), 0o600), os.Chmod(path, tt.mode)); err != nil {
			t.Fatal(err)
		}
		var printed bytes.Buffer
		if err := app.TakeURL(t.Context(), &config.Fetch{URLFile: path}, nil, slog.New(slog.NewTextHandler(&printed, nil))); err != nil {
			t.Fatal(err)
		}
		warned := strings.Contains(printed.String(), "chmod go-r") && strings.Contains(printed.String(), path)
		if warned != tt.warn || strings.Contains(printed.String(), "s3cr3t") {
			t.Errorf("mode %04o: %q, want a warning: %v", tt.mode, printed.String(), tt.warn)
		}
	}
}

// The URL of the first run expires in the middle; the file then has another one.
func TestANewURLInTheFileGoesOn(t *testing.T) {
	object := origintest.Object{Size: 3 << 20, Seed: 8}
	origin := origintest.New(t, object, origintest.On(1).ResetAt(2<<20+1000), origintest.On(2).ExpiredAWS())
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "url")
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	run := func(signature string) error {
		if err := os.WriteFile(path, []byte(origin.URL()+"?X-Amz-Signature="+signature), 0o600); err != nil {
			t.Fatal(err)
		}
		return new(recorder).run(t.Context(), t, out, func(string) {}, "fetch", "-state-dir", dir, "-min-free", "0", "-name", "u.bin", "-md5", object.MD5(), "-url-file", path)
	}
	if err := run("old"); err == nil || !strings.Contains(err.Error(), "URL_EXPIRED") {
		t.Fatalf("got %v, want URL_EXPIRED", err)
	}
	if err := run("new"); err != nil {
		t.Fatal(err)
	}
	requests := origin.Requests()
	if last := requests[len(requests)-1]; last.Start < 2<<20 || !strings.HasSuffix(last.Target, "?X-Amz-Signature=new") {
		t.Errorf("the last request is for %s from %d, want the new URL from %d or later", last.Target, last.Start, 2<<20)
	}
}

// A signal ends the wait for a pipe that nobody writes to.
func TestASilentPipeDoesNotHoldTheStop(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if err := app.TakeURL(ctx, &config.Fetch{URLFile: "-"}, r, nil); !errors.Is(err, app.ErrStopped) {
		t.Errorf("got %v", err)
	}
}
