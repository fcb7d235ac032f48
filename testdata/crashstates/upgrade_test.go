package crashstates

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"otad/journal"
)

// An earlier otad named its partial files otherwise. The start after an upgrade
// renames the file that the record names; wherever the power is cut, no byte is
// requested again.
func TestUpgradeIsCutAnywhere(t *testing.T) {
	job := NewJob("a.bin", small)
	earlier := record(t, Scenario{Name: "killed", Steps: []Step{{Job: job, Kill: &Point{Datasync, job.part(), 3}}}})[0]
	run := record(t, Scenario{Name: "upgrade", From: asEarlier(t, earlier, job), Steps: []Step{{Job: job}}})[0]
	renamed := run.Log.find(0, Rename, "a.bin.part", 1)
	if renamed < 0 {
		t.Fatal("nothing was renamed")
	}
	tryAll(t, run)

	// The record must not say so before the new name is durable.
	mutant := *run
	synced := run.Log.find(renamed, Sync, ".", 1)
	mutant.Log = run.Log.without(func(i int, _ Op) bool { return i == synced })
	e := NewEnumerator(*seed)
	e.Add(&mutant)
	if results := (&Rig{}).try(t, e.Crashes, 1); len(results.broken) == 0 {
		t.Error("not caught: the rename is not synced")
	}
}

// asEarlier returns the end of the run as an earlier otad would have left it.
func asEarlier(t *testing.T, run *Run, job *Job) *Crash {
	t.Helper()
	disk, invariants := run.Start, run.Invariants
	for _, o := range run.Log {
		disk, invariants = disk.step(o), invariants.after(o)
	}
	state := disk.now()
	state["a.bin.part"] = state[job.part()]
	delete(state, job.part())

	dir := t.TempDir()
	path := filepath.Join(dir, journal.FileName)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.WriteFile(path, state[journal.FileName].bytes(), 0o600))
	d, err := os.Open(dir)
	check(err)
	defer d.Close()
	j, err := journal.Open(d, journal.Options{})
	check(err)
	_, err = j.Update(func(r *journal.Record) { r.OwnSuffix = false })
	check(errors.Join(err, j.Close()))
	data, err := os.ReadFile(path)
	check(err)
	state[journal.FileName] = Content{mode: 0o600}.write(0, data)
	return &Crash{Run: run, At: len(run.Log), Invariants: invariants, disk: mount(state)}
}
