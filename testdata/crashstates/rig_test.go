package crashstates

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"otad/metrics"

	"otad/testdata/unotify"
)

// results are the outcomes of many states.
type results struct {
	tried  int
	took   time.Duration
	again  int64 // the largest number of bytes that a start requested again
	found  map[string]int
	broken []broken
}

type broken struct {
	*Crash
	error
}

func (r *results) String() string {
	return fmt.Sprintf("%d states finished in %.1f s, %.0f a second; found %v; at most %d bytes requested again, %d promises broken",
		r.tried, r.took.Seconds(), float64(r.tried)/r.took.Seconds(), r.found, r.again, len(r.broken))
}

// report fails the test for every promise that was broken.
func (r *results) report(t *testing.T) {
	t.Helper()
	const most = 10
	for i, b := range r.broken {
		if i < most {
			t.Errorf("%v\n%v", b.error, b.Crash)
		}
		if *keep != "" {
			if err := b.keep(*keep); err != nil {
				t.Error(err)
			}
		}
	}
	if more := len(r.broken) - most; more > 0 {
		t.Errorf("and %d more", more)
	}
}

// try finishes every state. With enough above 0 it stops after so many broken
// promises.
func (r *Rig) try(t *testing.T, crashes []*Crash, enough int) *results {
	t.Helper()
	all := &results{found: make(map[string]int)}
	begun, base, counters := time.Now(), fastDir(t), metrics.New(metrics.Labels{}, metrics.BuildInfo{})
	var mu sync.Mutex
	var workers sync.WaitGroup
	for i := range runtime.GOMAXPROCS(0) {
		rig := *r
		rig.Dir, rig.Metrics = filepath.Join(base, fmt.Sprint(i)), counters
		workers.Go(func() {
			for {
				mu.Lock()
				if all.tried == len(crashes) || enough > 0 && len(all.broken) >= enough {
					mu.Unlock()
					return
				}
				c := crashes[all.tried]
				all.tried++
				mu.Unlock()
				o, err := rig.Finish(c)
				mu.Lock()
				all.again = max(all.again, o.Again)
				all.found[string(o.Found)]++
				if err != nil {
					all.broken = append(all.broken, broken{c, err})
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	all.took = time.Since(begun)
	return all
}

// record records the scenarios, one after the other.
func record(t *testing.T, scenarios ...Scenario) []*Run {
	t.Helper()
	dir := fastDir(t)
	var runs []*Run
	for i, s := range scenarios {
		run, err := s.Record(t, *otad, filepath.Join(dir, fmt.Sprint(i)))
		skipWithoutRecorder(t, err)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	return runs
}

func skipWithoutRecorder(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, unotify.ErrUnavailable) {
		t.Skipf("NOTHING IS TESTED HERE: %v", err)
	}
}

// fastDir returns a directory in memory where there is one: a state is written,
// finished and deleted within a few milliseconds.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "otad-crashstates-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
