package crashstates

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"otad/netio/origintest"
)

// A state with a device takes longer than others: its package is larger.
var deviceStates = flag.Int("devicestates", 1200, "how many crash states of devices are tried")

// slotSize has the head and an interval and a bit behind it. The device is
// larger than the package.
const (
	slotSize = slotHead + 4*Interval + 777
	slotRoom = slotSize + 3*pageSize
)

// slotScenarios are runs whose package goes to a device with an earlier content.
func slotScenarios() []Scenario {
	spoiled := NewSlotJob("a.bin", slotSize)
	spoiled.MD5, spoiled.Spoiled = NewJob("", slotSize+9).MD5, true
	tiny := NewSlotJob("a.bin", 3*pageSize+5)
	replace := []string{"-replace"}
	middle := &Point{Datasync, slotName, 4}
	list := []Scenario{
		{Name: "device", Steps: []Step{{Job: NewSlotJob("a.bin", slotSize)}}},
		{Name: "device, smaller than the head", Steps: []Step{{Job: tiny}}},
		{Name: "device, wrong digest", Steps: []Step{{Job: spoiled, Exit: 3}}},
		{Name: "device, another package after Ready", Steps: []Step{{Job: NewSlotJob("a.bin", slotSize)}, {Job: NewSlotJob("b.bin", slotSize+1)}}},
		{Name: "device, given up for another", Steps: []Step{{Job: NewSlotJob("a.bin", slotSize), Kill: middle}, {Job: NewSlotJob("b.bin", slotSize+1), More: replace}}},
		{Name: "device, given up for a file of the same name", Steps: []Step{{Job: NewSlotJob("a.bin", slotSize), Kill: middle}, {Job: NewJob("a.bin", small), More: replace}}},
	}
	for _, p := range slotKills {
		job := NewSlotJob("a.bin", slotSize)
		list = append(list, Scenario{Name: "device, killed before " + p.name, Steps: []Step{{Job: job, Kill: &p.Point}, {Job: job}}})
	}
	for i := range list {
		list[i].Slot = slotRoom
	}
	// The first interval of such an answer is stored behind the package's end.
	for _, at := range []int64{2 * 4 * Interval, slotHead + 1} { // in the head, and behind it
		list = append(list,
			Scenario{Name: fmt.Sprint("device, an answer takes over at ", at), Slot: 3 << 20, Steps: []Step{{Job: replaced(at, 4*Interval)}}},
			Scenario{Name: fmt.Sprint("device without room, an answer takes over at ", at), Slot: slotRoom, Steps: []Step{{Job: replaced(at, 0)}}})
	}
	return list
}

// replaced is a job whose first answer is of another object and ends at an
// offset, and whose others begin at 0. Without room for both, the first bytes go
// before the others come.
func replaced(at, kept int64) *Job {
	j := NewSlotJob("a.bin", slotSize)
	j.replaced, j.kept = true, kept
	j.Script = []*origintest.Rule{origintest.On(1).Replace(origintest.Object{Size: slotSize, Seed: 99}).ResetAt(at + 1234), origintest.From(2).IgnoreRange()}
	return j
}

var slotKills = []struct {
	name string
	Point
}{
	{"the device's record has its name", Point{Rename, "journal.slot", 1}},
	{"the first sector is zero", Point{Datasync, slotName, 1}},
	{"the head is zero", Point{Datasync, slotName, 3}},
	{"a block is durable", Point{Datasync, slotName, 4}},
	{"the head is written", Point{Datasync, slotName, 6}},
	{"the superblock is durable", Point{Datasync, slotName, 7}},
	{"the first sector is durable", Point{Datasync, slotName, 8}},
	{"the record of the whole has its name", Point{Rename, "journal.slot", 2}},
	{"the rest of the head is removed", Point{Unlink, "a.bin.otad-part", 1}},
}

// recordSlots records the scenarios in the directory dir, whose device their jobs
// name.
func recordSlots(t *testing.T, dir string, scenarios ...Scenario) []*Run {
	t.Helper()
	var runs []*Run
	for _, s := range scenarios {
		run, err := s.Record(t, *otad, dir)
		skipWithoutRecorder(t, err)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	return runs
}

// Device and state directory lose their writes independently. Wherever the power
// is cut, nothing can be mounted from the device but what is whole, and the job
// becomes Ready.
func TestEveryCrashStateOfADeviceBecomesReady(t *testing.T) {
	dir := filepath.Join(fastDir(t), "state")
	e, runs := NewEnumerator(*seed), recordSlots(t, dir, slotScenarios()...)
	e.Add(runs...)
	again := recordSlots(t, dir, recoveries(e.Sample(secondCuts))...)
	e.Add(again...)
	tried := e.Sample(*deviceStates)
	results := (&Rig{}).try(t, tried, 0)
	t.Logf("%d runs and %d recoveries, %d crash states, %d distinct ones tried; %v; seed %d",
		len(runs), len(again), Distinct(e.Crashes), Distinct(tried), results, *seed)
	results.report(t)
	if n := Distinct(tried); n < *deviceStates*5/6 {
		t.Errorf("only %d distinct states", n)
	}
}

// slotMutations are logs of an otad that breaks a rule of the order. What is found
// first is one of several things that they break.
func slotMutations() []Mutation {
	return []Mutation{
		{Bug: "writes the head first", Apply: headFirst, Says: "is not whole on the device"},
		{Bug: "does not sync before the head", Apply: noSyncBeforeHead, Says: "lost durable bytes|is not on the device|the journal claims"},
		{Bug: "does not zero the head", Apply: headNotZeroed, Says: "is not whole on the device"},
		{Bug: "does not sync the zeros", Apply: zerosNotSynced, Says: "is not whole on the device"},
		{Bug: "writes the head in one piece", Apply: headInOnePiece, Says: "is not whole on the device"},
		{Bug: "writes the record before the head is synced", Apply: recordBeforeSync, Says: "it is Ready and the package is not whole"},
		{Bug: "never syncs the device", Apply: deviceNeverSynced, Says: "is not whole on the device"},
	}
}

// headWrites returns the range of operations in l that write the head for the n-th
// time, from the first write to the last sync: 1 are the zeros, 2 is the package's.
func (l Log) headWrites(n int) (first, last int) {
	step := func(o Op) bool { return o.is(Write, slotName) && o.At < slotHead }
	at := 0
	for range n {
		for at = last; !step(l[at]); at++ {
		}
		first = at
		for steps := 0; steps < 3; at++ {
			if l[at].is(Datasync, slotName) {
				steps++
				last = at
			}
		}
	}
	return first, last
}

// headFirst moves the head of the package to where the zeros have been synced.
func headFirst(l Log, _ *Job) Log {
	_, zeroed := l.headWrites(1)
	first, last := l.headWrites(2)
	moved := slices.Clone(l[first : last+1])
	rest := slices.Concat(l[:first], l[last+1:])
	return slices.Insert(rest, zeroed+1, moved...)
}

// noSyncBeforeHead removes the syncs of the device behind its head.
func noSyncBeforeHead(l Log, _ *Job) Log {
	_, zeroed := l.headWrites(1)
	first, _ := l.headWrites(2)
	return l.without(func(i int, o Op) bool { return zeroed < i && i < first && o.is(Datasync, slotName) })
}

func headNotZeroed(l Log, _ *Job) Log {
	first, last := l.headWrites(1)
	return l.without(func(i int, o Op) bool { return first <= i && i <= last && o.Name == slotName })
}

func zerosNotSynced(l Log, _ *Job) Log {
	first, last := l.headWrites(1)
	return l.without(func(i int, o Op) bool { return first <= i && i <= last && o.is(Datasync, slotName) })
}

// headInOnePiece removes the syncs between the steps of the head.
func headInOnePiece(l Log, _ *Job) Log {
	first, last := l.headWrites(2)
	return l.without(func(i int, o Op) bool { return first <= i && i < last && o.is(Datasync, slotName) })
}

// recordBeforeSync moves the head behind the report of Ready: the record, the
// journal and the report come first.
func recordBeforeSync(l Log, _ *Job) Log {
	first, last := l.headWrites(2)
	moved := slices.Clone(l[first : last+1])
	return slices.Concat(l[:first], l[last+1:], moved)
}

func deviceNeverSynced(l Log, _ *Job) Log {
	return l.without(func(_ int, o Op) bool { return o.is(Datasync, slotName) })
}

func TestMutationsOfADeviceAreCaught(t *testing.T) {
	job := NewSlotJob("a.bin", slotSize)
	run := recordSlots(t, filepath.Join(fastDir(t), "state"), Scenario{Name: "device", Slot: slotRoom, Steps: []Step{{Job: job}}})[0]
	for _, m := range slotMutations() {
		t.Run(m.Bug, func(t *testing.T) {
			mutant := *run
			mutant.Log = m.Apply(run.Log, job)
			e := NewEnumerator(*seed)
			e.Add(&mutant)
			slices.Reverse(e.Crashes) // most of the bugs are at the end
			results := (&Rig{}).try(t, e.Crashes, 1)
			t.Log(results)
			for _, b := range results.broken {
				t.Logf("caught: %v\n%v", b.error, b.Crash)
				if !slices.ContainsFunc(strings.Split(m.Says, "|"), func(says string) bool { return strings.Contains(b.Error(), says) }) {
					t.Errorf("caught for another reason than %q", m.Says)
				}
			}
			if len(results.broken) == 0 {
				t.Error("not caught")
			}
		})
	}
}
