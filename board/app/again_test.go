package app_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/netio/origintest"
)

// damage flips a bit of the file and keeps its times, as a failing medium does.
func damage(t *testing.T, path string) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)/2] ^= 1
	if err := errors.Join(os.WriteFile(path, whole, 0o644), os.Chtimes(path, st.ModTime(), st.ModTime())); err != nil {
		t.Fatal(err)
	}
}

func wantWhole(t *testing.T, path string) {
	t.Helper()
	want := make([]byte, object.Len())
	object.ReadAt(want, 0)
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not the package: %v", path, err)
	}
}

// Each subtest is a process of serve on the same state directory.
func TestServeLooksAtWhatIsReadyAgain(t *testing.T) {
	dir, origin := t.TempDir(), origintest.New(t, object)
	path := filepath.Join(dir, "u.bin")
	serve := func(t *testing.T) *daemon { return startDaemon(t, soon, "-state-dir", dir) }
	becomes := func(t *testing.T, d *daemon, state fsm.State) deviceapi.Progress {
		t.Helper()
		return d.until(t, string(state), func(p deviceapi.Progress) bool { return p.State == string(state) })
	}
	requests := func(t *testing.T, want int) {
		t.Helper()
		if n := len(origin.Requests()); n != want {
			t.Errorf("%d requests, want %d", n, want)
		}
	}
	t.Run("fetched", func(t *testing.T) {
		d := serve(t)
		d.post(t, "u.bin", origin.URL(), object)
		becomes(t, d, fsm.Ready)
	})
	t.Run("posted again", func(t *testing.T) {
		d := serve(t)
		becomes(t, d, fsm.Ready)
		d.post(t, "u.bin", origin.URL(), object)
		becomes(t, d, fsm.Ready)
		requests(t, 1)
	})
	damage(t, path)
	t.Run("damaged, found by a start, then posted", func(t *testing.T) {
		d := serve(t)
		if p := becomes(t, d, fsm.Failed); p.Error == nil || !strings.HasPrefix(*p.Error, "DOWNLOAD_FAILED: PACKAGE_DAMAGED ") || p.NextTrySeconds != nil {
			t.Errorf("%+v", p)
		}
		requests(t, 1)
		d.post(t, "u.bin", origin.URL(), object)
		becomes(t, d, fsm.Ready)
		wantWhole(t, path)
		requests(t, 2)
	})
	t.Run("damaged, found by a post", func(t *testing.T) {
		d := serve(t)
		becomes(t, d, fsm.Ready)
		damage(t, path)
		d.post(t, "u.bin", origin.URL(), object)
		becomes(t, d, fsm.Ready)
		wantWhole(t, path)
		requests(t, 3)
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	t.Run("taken away, then posted", func(t *testing.T) {
		d := serve(t)
		if p := becomes(t, d, fsm.Ready); p.Version != "1.2.3" {
			t.Errorf("%+v", p)
		}
		requests(t, 3)
		d.post(t, "u.bin", origin.URL(), object)
		becomes(t, d, fsm.Ready)
		wantWhole(t, path)
		requests(t, 4)
	})
}

// The same command again fetches the package only if it is not what it was.
func TestFetchLooksAtWhatIsReadyAgain(t *testing.T) {
	dir, origin := t.TempDir(), origintest.New(t, object)
	path := filepath.Join(dir, "u.bin")
	for i, step := range []struct {
		meddle   func()
		requests int
	}{
		{func() {}, 1},
		{func() {}, 1},
		{func() { damage(t, path) }, 2},
		{func() { os.Remove(path) }, 3},
		{func() {}, 3},
	} {
		step.meddle()
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		var rec recorder
		err = rec.run(t.Context(), t, out, func(string) {}, "fetch", "-state-dir", dir, "-name", "u.bin", "-min-free", "0", "-md5", object.MD5(), origin.URL())
		printed, _ := os.ReadFile(out.Name())
		out.Close()
		if err != nil || string(printed) != path+"\n" || len(origin.Requests()) != step.requests {
			t.Errorf("run %d: %v, printed %q, %d requests, want %d", i+1, err, printed, len(origin.Requests()), step.requests)
		}
		wantWhole(t, path)
	}
}
