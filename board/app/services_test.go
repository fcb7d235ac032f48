package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"otad/board/app"
	"otad/board/config"
	"otad/journal"
	"otad/netio/origintest"
)

// The origin shows that both reach it: a User-Agent with the version, and a
// second request only because of -retry-status.
func TestSourceIsConfiguredByTheFlagsAndTheBuild(t *testing.T) {
	origin := origintest.New(t, object, origintest.On(1).Status(500))
	var rec recorder
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	err = rec.run(t.Context(), t, out, func(string) {}, "fetch", "-state-dir", t.TempDir(), "-name", "u.bin", "-min-free", "0",
		"-retry-status", "500", "-retries", "1", "-md5", object.MD5(), origin.URL())
	if err != nil {
		t.Fatal(err)
	}
	requests := origin.Requests()
	if len(requests) != 2 {
		t.Fatalf("%d requests, want 2: -retry-status is not obeyed", len(requests))
	}
	if got := requests[0].Header.Get("User-Agent"); got != "otad/test" {
		t.Errorf("the User-Agent is %q", got)
	}
}

func TestClockBeforeTheBuildIsNamed(t *testing.T) {
	origin := origintest.NewConfig(t, origintest.Config{Object: object, TLS: &origintest.TLS{}, Allow: origintest.Malformed})
	cfg, err := config.Parse([]string{"fetch", "-quiet", "-state-dir", t.TempDir(), "-retries", "0", "-min-free", "0",
		"-name", "u.bin", "-md5", object.MD5(), origin.URL()}, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = app.Run(t.Context(), cfg, app.Build{Version: "test", Time: time.Now().AddDate(1, 0, 0)}, os.Stdout, os.Stderr)
	if err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("got %v, want an error that names the clock", err)
	}
}

// 0.0.0.0 is no loopback address, but Linux connects it to this board: it is
// refused with the flag too, when it is dialled.
func TestHTTPToOtherHostsNeedsItsFlag(t *testing.T) {
	url := strings.Replace(origintest.New(t, object).URL(), "127.0.0.1", "0.0.0.0", 1)
	args := []string{"fetch", "-state-dir", t.TempDir(), "-name", "u.bin", "-retries", "0", "-min-free", "0", "-md5", object.MD5(), url}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var rec recorder
	if err := rec.run(t.Context(), t, out, func(string) {}, args...); err == nil || !strings.Contains(err.Error(), "-allow-http") {
		t.Errorf("without -allow-http: %v", err)
	}
	if err := rec.run(t.Context(), t, out, func(string) {}, append(args, "-allow-http")...); err == nil || !strings.Contains(err.Error(), "leads to 0.0.0.0, which is this board") {
		t.Errorf("with -allow-http: %v", err)
	}
}

// damagedDir makes a state directory with a damaged journal, the partial files that
// belong to it, and other files.
func damagedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{journal.FileName, "a.otad-part", "u.bin.otad-part", "published", "a.otad-part.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("not a journal"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wantFiles checks that dir holds these files beside the locks and the journals.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "journal.") {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

// Three starts that were killed while the journal was opened are told, and cost
// nothing.
func TestJournalThatIsMadeAnewIsLogged(t *testing.T) {
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	origin := origintest.New(t, object)
	fetch := func() string {
		var rec recorder
		err := rec.run(t.Context(), t, out, func(string) {}, "fetch", "-state-dir", dir, "-name", "u.bin", "-min-free", "0",
			"-log-format", "json", "-md5", object.MD5(), origin.URL())
		if err != nil {
			t.Error(err)
		}
		return rec.all.String()
	}
	fetch()
	if err := os.WriteFile(filepath.Join(dir, "journal.opening"), []byte("..."), 0o600); err != nil {
		t.Fatal(err)
	}
	if log := fetch(); !strings.Contains(log, "a new file was made of what the journal holds") || len(origin.Requests()) != 1 {
		t.Errorf("after %d requests:\n%s", len(origin.Requests()), log)
	}
	if log := fetch(); strings.Contains(log, "a new file") {
		t.Errorf("at the start after that:\n%s", log)
	}
}

func TestPartialFilesGoWithADamagedJournal(t *testing.T) {
	t.Run("fetch", func(t *testing.T) {
		dir := damagedDir(t)
		var rec recorder
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		err = rec.run(t.Context(), t, out, func(string) {}, "fetch", "-state-dir", dir, "-name", "u.bin", "-min-free", "0",
			"-md5", object.MD5(), "-size", fmt.Sprint(object.Len()), origintest.New(t, object).URL())
		if err != nil {
			t.Error(err)
		}
		wantFiles(t, dir, "a.otad-part.txt", "published", "u.bin")
		if _, err := os.Stat(filepath.Join(dir, journal.FileName+".corrupt")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the damaged journal has outlived Ready: %v", err)
		}
	})
	t.Run("serve", func(t *testing.T) {
		dir := damagedDir(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var rec recorder
		err := rec.run(ctx, t, nil, func(line string) {
			if strings.Contains(line, "msg=serving") {
				stop()
			}
		}, "serve", "-state-dir", dir, "-listen", freeAddress(t))
		if !errors.Is(err, app.ErrStopped) {
			t.Error(err)
		}
		wantFiles(t, dir, "a.otad-part.txt", "published")
		if _, err := os.Stat(filepath.Join(dir, journal.FileName+".corrupt")); err != nil {
			t.Errorf("the damaged journal was not kept: %v", err)
		}
	})
}
