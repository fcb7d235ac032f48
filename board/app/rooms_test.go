package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"otad/board/app"
	"otad/board/config"
	"otad/journal"
	"otad/netio/origintest"
)

// distinct sets each field of a struct to a value that no other has.
func distinct(t *testing.T, to any) {
	t.Helper()
	v := reflect.ValueOf(to).Elem()
	for i := range v.NumField() {
		f, n := v.Field(i), 1000+i
		switch f.Interface().(type) {
		case int, int64, time.Duration:
			f.SetInt(int64(n))
		case bool:
			f.SetBool(true)
		case string:
			f.SetString(fmt.Sprint(n))
		case []int:
			f.Set(reflect.ValueOf([]int{n}))
		default:
			t.Fatalf("%s: nobody knows how to set a %s", v.Type().Field(i).Name, f.Type())
		}
	}
}

// Whoever wants a field of Transfer has one of the same name, and somebody wants it.
func TestTransferReachesTheRooms(t *testing.T) {
	var given config.Transfer
	distinct(t, &given)
	build := app.Build{Version: "1.2.3", Time: time.Unix(1e9, 0)}
	source := app.SourceConfig(given, build)
	if source.UserAgent != "otad/1.2.3" || !source.BuildTime.Equal(build.Time) {
		t.Errorf("of the build the source is told %q and %v", source.UserAgent, source.BuildTime)
	}
	rooms := []reflect.Value{reflect.ValueOf(source), reflect.ValueOf(app.MachineConfig(given))}
	for i := range reflect.TypeFor[config.Transfer]().NumField() {
		name, want := reflect.TypeFor[config.Transfer]().Field(i).Name, reflect.ValueOf(given).Field(i).Interface()
		wanted := 0
		for _, room := range rooms {
			got := room.FieldByName(name)
			if !got.IsValid() {
				continue
			}
			wanted++
			if !reflect.DeepEqual(got.Interface(), want) {
				t.Errorf("%s of %s is %v, want %v", name, room.Type(), got, want)
			}
		}
		if wanted == 0 {
			t.Errorf("nobody wants %s", name)
		}
	}
}

// strew makes a state directory with a journal that is damaged and partial files that it alone could vouch for, and with
// files that are none.
func strew(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{journal.FileName, "a.part", "u.bin.part", "published", "a.part.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("not a journal"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wantFiles wants these in dir, beside the locks and the journals.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), journal.FileName) && !strings.HasPrefix(e.Name(), ".") {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, journal.FileName+".corrupt")); err != nil {
		t.Errorf("the damaged journal was not kept: %v", err)
	}
}

func TestPartialFilesGoWithADamagedJournal(t *testing.T) {
	t.Run("fetch", func(t *testing.T) {
		dir := strew(t)
		var heard overheard
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		err = heard.run(t.Context(), t, out, func(string) {}, "fetch", "-state-dir", dir, "-name", "u.bin", "-min-free", "0",
			"-md5", object.MD5(), "-size", fmt.Sprint(object.Len()), origintest.New(t, object).URL())
		if err != nil {
			t.Error(err)
		}
		wantFiles(t, dir, "a.part.txt", "published", "u.bin")
	})
	t.Run("serve", func(t *testing.T) {
		dir := strew(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var heard overheard
		err := heard.run(ctx, t, nil, func(line string) {
			if strings.Contains(line, "msg=serving") {
				stop()
			}
		}, "serve", "-state-dir", dir, "-listen", freeAddress(t))
		if !errors.Is(err, app.ErrStopped) {
			t.Error(err)
		}
		wantFiles(t, dir, "a.part.txt", "published")
	})
}
