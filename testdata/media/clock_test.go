package media_test

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"otad/netio/origintest"
)

// wallClock is the board's clock as otad sees it. Go reads the time from the
// vDSO, without a system call. wallClock clears the runtime's pointer to the
// vDSO function and answers the system calls that the runtime makes then. The
// monotonic clock stays the kernel's, as on a board whose clock is set.
type wallClock struct {
	ahead atomic.Int64 // nanoseconds, of the real clock
	vdso  uintptr      // address of the runtime's pointer to the vDSO's function
}

// newWallClock finds the pointer in a binary that has its symbols.
func newWallClock(t *testing.T, binary string) *wallClock {
	t.Helper()
	f, err := elf.Open(binary)
	check(t, err)
	defer f.Close()
	symbols, err := f.Symbols()
	check(t, err)
	for _, s := range symbols {
		if s.Name == "runtime.vdsoClockgettimeSym" {
			return &wallClock{vdso: uintptr(s.Value)}
		}
	}
	t.Skip("this Go's runtime does not ask the vDSO for the time")
	return nil
}

func (w *wallClock) set(to time.Time) { w.ahead.Store(int64(time.Until(to))) }

// take makes a process use system calls for the time from now on.
func (w *wallClock) take(pid int) error {
	return poke(pid, w.vdso, unsafe.Pointer(new(uintptr)), unsafe.Sizeof(uintptr(0)))
}

// answer writes the time into the memory of a process.
func (w *wallClock) answer(pid int, at uintptr) error {
	now := unix.NsecToTimespec(time.Now().Add(time.Duration(w.ahead.Load())).UnixNano())
	return poke(pid, at, unsafe.Pointer(&now), unsafe.Sizeof(now))
}

// poke writes n bytes into another process.
func poke(pid int, at uintptr, from unsafe.Pointer, n uintptr) error {
	local := []unix.Iovec{{Base: (*byte)(from), Len: uint64(n)}}
	_, err := unix.ProcessVMWritev(pid, local, []unix.RemoteIovec{{Base: at, Len: int(n)}}, 0)
	return err
}

var (
	past   = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC) // a board without a battery
	future = time.Date(2091, 6, 1, 0, 0, 0, 0, time.UTC)
)

// newDeviceWithClock returns a device with a clock that can be set. Its otad
// has its symbols and a build time in 2100.
func newDeviceWithClock(t *testing.T, size int64, script ...*origintest.Rule) *device {
	t.Helper()
	d := newDevice(t, t.TempDir(), size, script...)
	d.binary = otad("otad-2100")
	d.medium = &medium{clock: newWallClock(t, d.binary)}
	return d
}

// A package, a partial file and a journal with times in the future and in the
// past, and a clock that jumps between them during a download: nothing is
// deleted.
func TestClockThatJumpsInTheMiddleCostsNothing(t *testing.T) {
	for name, jump := range map[string][2]time.Time{"by a century ahead": {past, future}, "by a century back": {future, past}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeviceWithClock(t, 2_000_000, origintest.On(1).StallAt(3*interval+1), origintest.On(2).StallAt(9*interval+1))
			for _, foreign := range []string{"older.bin", "older.bin.part"} {
				check(t, os.WriteFile(d.path(foreign), []byte("kept"), 0o600))
				check(t, os.Chtimes(d.path(foreign), past, past))
			}
			d.medium.clock.set(jump[0])
			r := d.fetch()
			d.awaitStall(3 * interval)
			d.medium.clock.set(jump[1])
			r.Kill()
			r = d.fetch()
			d.awaitStall(9 * interval)
			d.medium.clock.set(jump[0])
			d.origin.Release()
			r.wantReady()
			d.wantLastRange(3 * interval)
			for _, year := range []string{jump[0].Format("2006"), jump[1].Format("2006")} {
				if !strings.Contains(r.Stderr.String(), `"time":"`+year) {
					t.Errorf("the clock that otad saw was never in %s:\n%s", year, &r.Stderr)
				}
			}
			for _, foreign := range []string{"older.bin", "older.bin.part"} {
				if d.size(foreign) != 4 {
					t.Errorf("%s is gone", foreign)
				}
			}
		})
	}
}

// Waits use the monotonic clock, and a date is relative to the Date of its own
// response, whatever the board's clock is set to.
func TestWaitsDoNotFollowTheClock(t *testing.T) {
	for name, rule := range map[string]*origintest.Rule{
		"back-off":               origintest.On(1).ResetEarly(),
		"Retry-After in seconds": origintest.On(1).Status(503).RetryAfter("1"),
		"Retry-After as a date":  origintest.On(1).Status(503).RetryAfterDate(time.Second),
		"origin's clock ahead":   origintest.On(1).Status(503).ClockAhead(50 * 365 * 24 * time.Hour).RetryAfterDate(time.Second),
	} {
		for _, jump := range [][2]time.Time{{past, future}, {future, past}} {
			t.Run(fmt.Sprintf("%s, from %d to %d", name, jump[0].Year(), jump[1].Year()), func(t *testing.T) {
				t.Parallel()
				d := newDeviceWithClock(t, 2*interval, rule)
				d.medium.clock.set(jump[0])
				begun := time.Now()
				r := d.fetch()
				eventually(t, "otad waits", func() bool { return strings.Contains(r.Stderr.String(), `"msg":"retrying"`) })
				d.medium.clock.set(jump[1])
				r.wantReady()
				if took := time.Since(begun); took < 800*time.Millisecond || took > 10*time.Second {
					t.Errorf("a wait of one second took %v", took)
				}
			})
		}
	}
}

func TestClockIsNamedWhenACertificateDoesNotHold(t *testing.T) {
	for _, tt := range []struct {
		clock time.Time
		says  string
	}{
		{past, "it says 1970-01-02, which is before this program was built (2100-01-01)"},
		{future, "it says 2091-06-01, which is before this program was built (2100-01-01)"},
		{future.AddDate(20, 0, 0), "expired or not yet valid"}, // otad cannot know that this clock is wrong
	} {
		t.Run(tt.clock.Format(time.DateOnly), func(t *testing.T) {
			t.Parallel()
			d := newDeviceWithClock(t, 2*interval)
			d.origin = origintest.NewConfig(t, origintest.Config{Object: d.object, TLS: &origintest.TLS{}, Allow: origintest.Malformed})
			d.flags = append(d.flags, "-ca-file", d.origin.CAFile())
			d.medium.clock.set(tt.clock)
			last := d.fetch().wantExit(1, "DOWNLOAD_FAILED: the server's certificate is expired or not yet valid")
			if !strings.Contains(last, tt.says) {
				t.Errorf("%q does not say %q", last, tt.says)
			}
			d.medium.clock.set(time.Now())
			d.fetch().wantReady() // once the clock is set
		})
	}
}

// A board without a battery starts in 1970. No certificate can be checked until
// its clock is set: the daemon waits for that, and spends no retry.
func TestDaemonWaitsForTheClock(t *testing.T) {
	t.Parallel()
	d := newDeviceWithClock(t, 2*interval)
	d.origin = origintest.NewConfig(t, origintest.Config{Object: d.object, TLS: &origintest.TLS{}, Allow: origintest.Malformed})
	d.flags = append(d.flags, "-ca-file", d.origin.CAFile(), "-retries", "0")
	d.medium.clock.set(past)
	o := d.serveJob()
	eventually(t, "otad waits for the clock", func() bool { return strings.Contains(o.progress().Message, "clock") })
	if p := o.progress(); p.State != "Downloading" || len(d.origin.Requests()) > 0 {
		t.Errorf("%+v, %d requests", p, len(d.origin.Requests()))
	}
	d.medium.clock.set(time.Now())
	o.wantReady()
	if log := o.Stderr.String(); strings.Contains(log, `"msg":"retrying"`) || strings.Contains(log, `"to":"Failed"`) {
		t.Errorf("the wait was a failure:\n%s", log)
	}
}

// These are all places where the product reads a date. None of them deletes,
// expires or decides anything. All other uses of time are differences of
// time.Now, which Go takes from the monotonic clock.
func TestDatesAreReadInFewPlaces(t *testing.T) {
	want := map[string]string{
		"main.go":                   "the build's own time",
		"netio/retryafter.go":       "Retry-After as a date, counted from the answer's Date",
		"netio/response.go":         "the time that stands in for a Date that is missing",
		"netio/s3error.go":          "the end of a signed URL, by the server's clock",
		"board/deviceapi/api.go":    "the limit of commands, by differences",
		"board/package/main.go":     "the date in the man page, given by the build",
		"netio/fetch.go":            "the default of Config.Now",
		"fsm/published.go":          "whether a file is still the one, by equality",
		"fsm/jobmetrics.go":         "a metric, beside its twin that needs no clock",
		"board/storage/slots.go":    "whether a device is still as it was written, by equality",
		"board/storage/deviceid.go": "whether a plain file is still as it was written, by equality",
		"netio/tls.go":              "certificates, and the clock that is to blame",
	}
	dates := regexp.MustCompile(`\.(ModTime|Mtim|Ctim|Atim|Unix|UnixMilli|UnixNano|Chtimes|ParseTime|Round\(0)\b|time\.(Parse|Date|Unix)\b|[cC](onfig|fg)?\.Now\b|os\.Chtimes`)
	got := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel("../..", path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "testdata" || e.Name() == "origintest" || strings.HasPrefix(e.Name(), ".") && len(e.Name()) > 2):
			return fs.SkipDir
		case e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if dates.Match(source) {
			got[name] = true
		}
		return err
	})
	check(t, err)
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s reads a date: what for?", name)
		}
	}
	if missing := slices.DeleteFunc(slices.Sorted(maps.Keys(want)), func(name string) bool { return got[name] }); len(missing) > 0 {
		t.Errorf("no dates are read any more in %v", missing)
	}
}
