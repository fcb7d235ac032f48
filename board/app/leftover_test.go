package app_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"otad/board/app"
	"otad/journal"
)

// serveOnce starts otad serve, stops it at once, and returns its log.
func serveOnce(t *testing.T, dir string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var rec recorder
	err := rec.run(ctx, t, nil, func(line string) {
		if strings.Contains(line, "msg=serving") {
			stop()
		}
	}, "serve", "-state-dir", dir, "-listen", freeAddress(t))
	if !errors.Is(err, app.ErrStopped) {
		t.Fatal(err)
	}
	return rec.all.String()
}

// put makes files that hold their own names.
func put(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// wantContents checks which files dir holds, beside the journal's, and what is in
// each.
func wantContents(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), "journal.") })
	if len(entries) != len(want) {
		t.Errorf("the directory holds %v, want %v", entries, want)
	}
	for name, content := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != content {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, content)
		}
	}
}

// edit changes the record while no otad runs.
func edit(t *testing.T, dir string, change func(*journal.Record)) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	j, err := journal.Open(d, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := j.Update(change); err != nil {
		t.Fatal(err)
	}
}

// failed is a record whose job can go on.
func failed(ownSuffix bool) func(*journal.Record) {
	return func(r *journal.Record) {
		*r = journal.Record{State: "Failed", Error: "DOWNLOAD_FAILED: no", Code: "DOWNLOAD_FAILED", OwnSuffix: ownSuffix,
			Job:            journal.Job{Name: "u.bin", Version: "1.2.3", MD5: strings.Repeat("0", 32), Size: 9, URL: "https://h/u.bin"},
			PendingDeletes: []string{"old.bin"}}
	}
}

// Without a record a partial file is of no use, and its space is missing to the
// next package.
func TestPartialFilesThatTheJournalDoesNotNameGo(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"the journal is missing": func(t *testing.T, dir string) {},
		"the journal is damaged": func(t *testing.T, dir string) { put(t, dir, journal.FileName) },
		"the journal is sound":   func(t *testing.T, dir string) { edit(t, dir, failed(true)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			prepare(t, dir)
			put(t, dir, "a.otad-part", "b.zip.otad-part", "a.part", "u.bin.part", "u.bin")
			want := map[string]string{"a.part": "a.part", "u.bin.part": "u.bin.part", "u.bin": "u.bin"}
			if strings.HasSuffix(name, "sound") {
				put(t, dir, "u.bin.otad-part")
				want["u.bin.otad-part"] = "u.bin.otad-part"
			}
			log := serveOnce(t, dir)
			wantContents(t, dir, want)
			if n := strings.Count(log, `packages="[a b.zip]" bytes=8192`); n != 1 {
				t.Errorf("%d lines of the log say what has been deleted:\n%s", n, log)
			}
			if log := serveOnce(t, dir); strings.Contains(log, "have been deleted") {
				t.Errorf("said again:\n%s", log)
			}
		})
	}
}

// An earlier otad named its partial files NAME.part. Those that its record names
// are renamed, once; nobody else's file of that kind is ever touched.
func TestPartialFilesOfAnEarlierOtadAreRenamed(t *testing.T) {
	dir := t.TempDir()
	edit(t, dir, failed(false))
	put(t, dir, "u.bin.part", "old.bin.part", "foreign.part")
	serveOnce(t, dir)
	want := map[string]string{"u.bin.otad-part": "u.bin.part", "foreign.part": "foreign.part"}
	wantContents(t, dir, want)

	put(t, dir, "u.bin.part") // somebody else's
	want["u.bin.part"] = "u.bin.part"
	serveOnce(t, dir)
	wantContents(t, dir, want)

	// The board is rolled back, and the earlier otad begins the file anew. Nothing
	// but the rename writes the record then.
	edit(t, dir, func(r *journal.Record) {
		failed(false)(r)
		r.PendingDeletes = nil
	})
	if err := os.WriteFile(filepath.Join(dir, "u.bin.part"), []byte("begun anew"), 0o600); err != nil {
		t.Fatal(err)
	}
	serveOnce(t, dir)
	want = map[string]string{"u.bin.otad-part": "begun anew", "foreign.part": "foreign.part"}
	wantContents(t, dir, want)
	put(t, dir, "u.bin.part") // somebody else's
	want["u.bin.part"] = "u.bin.part"
	serveOnce(t, dir)
	wantContents(t, dir, want)
}

// A package that is Ready has no partial file, so a file of that name is foreign.
func TestNoPartialFileIsRenamedOnceThePackageIsReady(t *testing.T) {
	dir := t.TempDir()
	edit(t, dir, func(r *journal.Record) {
		failed(false)(r)
		r.State, r.Error, r.Code, r.PendingDeletes = "Ready", "", "", nil
	})
	put(t, dir, "u.bin.part", "u.bin")
	serveOnce(t, dir)
	for _, name := range []string{"u.bin.part", "u.bin"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != name {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
}
