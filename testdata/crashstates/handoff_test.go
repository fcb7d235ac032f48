package crashstates

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otad/fsm"
	"otad/journal"
)

// handedOver is a job that is Ready, and whose installer then ends with code.
func handedOver(t *testing.T, code string, until fsm.Stage) Scenario {
	t.Helper()
	ready := record(t, Scenario{Name: "Ready", Steps: []Step{{Job: NewJob("a.bin", small)}}})[0]
	script, err := installScript(fastDir(t), code)
	if err != nil {
		t.Fatal(err)
	}
	job := ready.Jobs[0]
	return Scenario{Name: "installer ends with " + code, From: atEnd(t, ready, func(*journal.Record) {}), Steps: []Step{
		{Job: job, Serve: true, Until: until, Expects: code, More: []string{"-on-ready", script, "-callback-url", "http://127.0.0.1:9/"}}}}
}

// No cut loses that the installer was started, and none makes a success of what it
// has not said.
func TestCutAtEveryWriteOfTheHandOff(t *testing.T) {
	done := record(t, handedOver(t, "0", fsm.StageSucceeded))[0]
	failed := record(t, handedOver(t, "1", fsm.StageFailed))[0]
	reboot := handedOver(t, "10", fsm.StageRebooting)
	rebooting := record(t, reboot)[0]
	again := reboot.Steps[0]
	again.Until = fsm.StageSucceeded
	rebooted := record(t, Scenario{Name: "the board has booted", From: atEnd(t, rebooting, func(r *journal.Record) {
		// This machine has only one boot ID.
		r.Install.Reboot, r.Install.Boot = "an earlier boot", "an earlier boot"
	}), Steps: []Step{again}})[0]
	for _, run := range []*Run{done, failed, rebooting, rebooted} {
		begun := run.Log.count(func(o Op) bool { return o.Kind == Create && strings.HasPrefix(o.Name, ranPrefix) })
		said := run.Log.count(func(o Op) bool { return o.Kind == Create && strings.HasPrefix(o.Name, saidPrefix) })
		if begun != 1 || said != 1 {
			t.Errorf("%s: the installer began %d times and ended %d times", run.Name, begun, said)
		}
	}
	tryAll(t, done, failed, rebooting, rebooted)
}

func TestHandOffMutationsAreCaught(t *testing.T) {
	run := record(t, handedOver(t, "0", fsm.StageSucceeded))[0]
	for _, m := range HandOffMutations() {
		t.Run(m.Bug, func(t *testing.T) {
			mutant := *run
			mutant.Log = m.Apply(run.Log, run.Jobs[0])
			e := NewEnumerator(*seed)
			e.Add(&mutant)
			results := (&Rig{}).try(t, e.Crashes, 1)
			t.Log(results)
			for _, b := range results.broken {
				t.Logf("caught: %v", b.error)
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

// atEnd returns the end of the run, with a change of the journal's record.
func atEnd(t *testing.T, run *Run, change func(*journal.Record)) *Crash {
	t.Helper()
	disk, invariants := run.Start, run.Invariants
	for _, o := range run.Log {
		disk, invariants = disk.step(o), invariants.after(o)
	}
	state := disk.now()
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
	_, err = j.Update(change)
	check(errors.Join(err, j.Close()))
	data, err := os.ReadFile(path)
	check(err)
	state[journal.FileName] = Content{mode: 0o600}.write(0, data)
	return &Crash{Run: run, At: len(run.Log), Invariants: invariants, disk: mount(state)}
}
