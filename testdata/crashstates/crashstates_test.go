package crashstates

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"otad/fsm"
	"otad/testdata/otadrun"
)

var (
	otad   = flag.String("otad", "", "the otad to record; empty: it is built here")
	seed   = flag.Uint64("seed", 1, "of every random choice")
	states = flag.Int("states", 6000, "how many crash states are tried, 0 for all; a tenth of it with -short")
	keep   = flag.String("keep", "", "a directory for the states that break a promise")
)

func TestMain(m *testing.M) {
	BecomeShim()
	flag.Parse()
	os.Exit(run(m))
}

// run runs the tests with an otad that is built from this source.
func run(m *testing.M) int {
	if *otad == "" {
		dir, err := os.MkdirTemp("", "otad-crashstates-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		*otad = filepath.Join(dir, "otad")
		if err := (otadrun.Build{Out: *otad, KeepPaths: true}).Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	debug.SetGCPercent(400) // a state allocates a few megabytes and keeps none
	return m.Run()
}

func TestEveryCrashStateBecomesReady(t *testing.T) {
	begun := time.Now()
	e, runs := NewEnumerator(*seed), record(t, scenarios()...)
	e.Add(runs...)
	// And the states of a second cut, in the middle of the recovery from a first.
	again := record(t, recoveries(e.Sample(secondCuts))...)
	e.Add(again...)
	enumerated := time.Since(begun)
	tried := e.Sample(wanted(e))
	results := (&Rig{}).try(t, tried, 0)
	t.Logf("%d runs and %d recoveries recorded, their %d crash states enumerated, in %.1f s",
		len(runs), len(again), Distinct(e.Crashes), enumerated.Seconds())
	t.Logf("%d distinct states; %v; seed %d", Distinct(tried), results, *seed)
	results.report(t)
	if n := Distinct(tried); *states == 6000 && !testing.Short() && n < 5000 {
		t.Errorf("only %d distinct states", n)
	}
}

// wanted returns the number of states to try.
func wanted(e *Enumerator) int {
	switch {
	case *states == 0:
		return len(e.Crashes)
	case testing.Short():
		return *states / 10
	default:
		return *states
	}
}

// Every state of these few runs is tried.
func TestCheckpointsOfASlowLink(t *testing.T) {
	runs := record(t, slowLink()...)
	if n := runs[0].Log.count(func(o Op) bool { return o.is(Datasync, "a.bin.otad-part") }); n <= slowCommits {
		t.Errorf("the package was synced %d times: no checkpoint was made by time", n)
	}
	tryAll(t, runs...)
	mutant := *runs[0]
	mutant.Log = commitBeforeSync(mutant.Log, mutant.Jobs[0])
	e := NewEnumerator(*seed)
	e.Add(&mutant)
	if results := (&Rig{}).try(t, e.Crashes, 1); len(results.broken) == 0 {
		t.Error("not caught: a commit before its sync")
	}
}

// At each moment of a take-over the journal claims the held bytes, or the first
// interval of those that take their place.
func TestCutWhileAnAnswerTakesOver(t *testing.T) {
	run := record(t, takenOver())[0]
	tryAll(t, run)
	l := run.Log
	staged := slices.IndexFunc(l, func(o Op) bool { return o.is(Write, "a.bin.otad-part") && o.At >= small })
	synced, copied := l.find(staged, Datasync, "a.bin.otad-part", 1), l.find(staged, Datasync, "a.bin.otad-part", 2)
	_, claimed := l.transaction(synced, 1)
	_, placed := l.transaction(copied, 1)
	for bug, l := range map[string]Log{
		"claims the first interval before its sync": l.move(synced, claimed),
		"syncs the copy after its place is claimed": l.move(copied, placed),
	} {
		mutant := *run
		mutant.Log = l
		e := NewEnumerator(*seed)
		e.Add(&mutant)
		if results := (&Rig{}).try(t, e.Crashes, 1); len(results.broken) == 0 {
			t.Errorf("not caught: %s", bug)
		}
	}
}

// No cut while a new journal is made of the old one costs a checkpoint.
func TestCutWhileTheJournalIsMadeAnew(t *testing.T) {
	run := record(t, rebuilt())[0]
	last := run.Log.find(0, Begin, "", 5)
	if run.Log.find(last, Rename, journalDB+".new", 1) < 0 {
		t.Error("no new journal was made")
	}
	tryAll(t, run)
}

func TestCutAtEveryWriteOfATry(t *testing.T) {
	run := record(t, triedAgain())[0]
	again := run.Log.count(func(o Op) bool {
		r, _ := parseReport(string(o.Data))
		return o.Kind == Print && r.From == string(fsm.Failed) && r.To == string(fsm.Downloading)
	})
	if again != 3 {
		t.Errorf("the failed job was started again %d times, want 3", again)
	}
	tryAll(t, run)
}

func tryAll(t *testing.T, runs ...*Run) {
	t.Helper()
	e := NewEnumerator(*seed)
	e.Add(runs...)
	results := (&Rig{}).try(t, e.Crashes, 0)
	t.Log(results)
	results.report(t)
}

func TestLogWithAMissingWriteIsNotTheDirectory(t *testing.T) {
	dir := filepath.Join(fastDir(t), "d")
	s := fetch()
	run, err := s.Record(t, *otad, dir)
	skipWithoutRecorder(t, err)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		missing := run.Log.find(0, Write, "a.bin.otad-part", n)
		if missing < 0 {
			break
		}
		broken := *run
		broken.Log = run.Log.without(func(i int, _ Op) bool { return i == missing })
		if err := broken.compare(dir); err == nil {
			t.Errorf("without %v the replayed log is still the directory", run.Log[missing])
		}
	}
}

func TestMutationsAreCaught(t *testing.T) {
	job := NewJob("a.bin", small)
	runs := record(t, Scenario{Name: "fetch", Steps: []Step{{Job: job}}},
		Scenario{Name: "killed", Steps: []Step{{Job: job, Kill: &Point{Datasync, "journal.db", 10}}, {Job: job}}})
	for _, m := range Mutations() {
		t.Run(m.Bug, func(t *testing.T) {
			run := runs[0]
			if m.Killed {
				run = runs[1]
			}
			mutant := *run
			mutant.Log = m.Apply(run.Log, job)
			e := NewEnumerator(*seed)
			e.Add(&mutant)
			results := (&Rig{}).try(t, e.Crashes, 1)
			t.Log(results)
			for _, b := range results.broken {
				t.Logf("caught: %v\n%v", b.error, b.Crash)
				if !strings.Contains(b.Error(), m.Says) {
					t.Errorf("caught for another reason than %q", m.Says)
				}
			}
			if len(results.broken) == 0 {
				t.Error("not caught")
			}
		})
	}
}

// A disk that calls bytes durable and loses them cannot be made safe, but otad
// can detect it: cheaply by older checkpoints while only the last bytes are
// lost, and by reading all bytes back where any may be lost.
func TestDiskThatLiesIsFoundOut(t *testing.T) {
	run := record(t, fetch())[0]
	job := run.Jobs[0]
	const lies = 2 // of three checkpoints one has to hold
	last, some := NewEnumerator(*seed), NewEnumerator(*seed)
	verifying := run.Log.find(0, Rename, job.part(), 1)
	for to := run.Log.find(0, Write, job.part(), lies+2); to < verifying; to++ {
		for n := range lies {
			liar := *run
			liar.Log = run.Log.lied(to, job, n+1)
			last.AddEnd(&liar, true)
			some.AddEnd(&liar, false)
		}
	}
	t.Run("the last bytes", func(t *testing.T) {
		results := (&Rig{Lying: true}).try(t, last.Crashes, 0)
		t.Log(results)
		results.report(t)
		if limit := int64((lies + 1) * Interval); results.again > limit {
			t.Errorf("%d bytes were requested again, %d at most for %d lies", results.again, limit, lies)
		}
	})
	t.Run("the last bytes, with a single checkpoint", func(t *testing.T) {
		results := (&Rig{Lying: true, SingleCheckpoint: true}).try(t, last.Crashes, 0)
		t.Log(results)
		if results.again <= (lies+1)*Interval {
			t.Errorf("not caught: %d bytes were requested again", results.again)
		}
	})
	t.Run("any bytes, read back", func(t *testing.T) {
		results := (&Rig{Lying: true, Readback: true}).try(t, some.Sample(wanted(some)/10), 0)
		t.Log(results)
		results.report(t)
	})
	t.Run("any bytes, not read back", func(t *testing.T) {
		results := (&Rig{Lying: true}).try(t, some.Sample(wanted(some)/10), 1)
		t.Log(results)
		if len(results.broken) == 0 {
			t.Error("not caught: reading back finds nothing that checkpoints do not find")
		}
	})
}
