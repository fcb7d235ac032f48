package crashstates

import (
	"fmt"

	"otad/netio/origintest"
)

// Packages of a few intervals reveal as much as large ones, a hundred times
// faster.
const small = 4*Interval + 777

func fetch() Scenario {
	return Scenario{Name: "fetch", Steps: []Step{{Job: NewJob("a.bin", 9*Interval+12345)}}}
}

// slowLink is a download that is checkpointed once a second, long before an
// interval is full, and one that is killed before such a checkpoint.
func slowLink() []Scenario {
	slowly := []string{"-checkpoint-interval", "1s", "-rate-limit", "40KiB"}
	whole, killed := NewJob("a.bin", slowSize), NewJob("a.bin", slowSize)
	return []Scenario{
		{Name: "slow link", Steps: []Step{{Job: whole, More: slowly}}},
		{Name: "slow link, killed", Steps: []Step{
			{Job: killed, More: slowly, Kill: &Point{Datasync, "a.bin.otad-part", 2}}, {Job: killed, More: slowly}}},
	}
}

// slowSize has slowCommits checkpoints where only the intervals count.
const (
	slowSize    = 2*Interval + 777
	slowCommits = 3
)

// rebuilt is a download that is killed in the middle, then three times while the
// journal is opened. The last process makes a new journal of what the old one
// holds.
func rebuilt() Scenario {
	job, opened := NewJob("a.bin", small), &Point{Unlink, "journal.opening", 1}
	return Scenario{Name: "killed three times while the journal was opened", Steps: []Step{
		{Job: job, Kill: &Point{Datasync, "a.bin.otad-part", 3}},
		{Job: job, Kill: opened}, {Job: job, Kill: opened}, {Job: job, Kill: opened}, {Job: job}}}
}

// triedAgain is a job that fails, and that otad serve starts again: one try
// fails without a byte, one after a checkpoint, one becomes Ready. Nobody takes
// the callbacks, so the outbox fills too.
func triedAgain() Scenario {
	job := NewJob("a.bin", small,
		origintest.On(1).ResetAt(Interval+1234),
		origintest.On(2).ResetEarly(),
		origintest.On(3).ResetAt(3*Interval+1234))
	return Scenario{Name: "failed, then tried again", Steps: []Step{
		{Job: job, Exit: 1, More: []string{"-retries", "0"}},
		{Job: job, Serve: true, More: []string{"-retries", "0", "-try-again", "1s", "-callback-url", "http://127.0.0.1:9/"}}}}
}

// takenOver is a job whose answer of another object, which begins at 0, takes the
// place of the bytes of a first one.
func takenOver() Scenario {
	job := NewJob("a.bin", small,
		origintest.On(1).Replace(origintest.Object{Size: small, Seed: 99}).ResetAt(2*Interval+1234), origintest.From(2).IgnoreRange())
	job.replaced, job.kept = true, Interval // the report that it starts over may come after the commit
	return Scenario{Name: "an answer takes over", Steps: []Step{{Job: job}}}
}

func scenarios() []Scenario {
	sized := NewJob("a.bin", small)
	sized.Size = small
	spoiled := NewJob("a.bin", small)
	spoiled.MD5, spoiled.Spoiled = NewJob("", small+9).MD5, true
	second := NewJob("b.bin", small+1)
	changed := NewJob("a.bin", small, origintest.On(1).Replace(origintest.Object{Size: small, Seed: 99}))
	failing := NewJob("a.bin", small, origintest.On(1).ResetAt(2*Interval+1234), origintest.On(2).Status(404))
	middle := &Point{Datasync, "a.bin.otad-part", 3}
	replace := []string{"-replace"}

	list := []Scenario{fetch(), takenOver(),
		{Name: "size given", Steps: []Step{{Job: sized}}},
		{Name: "wrong digest", Steps: []Step{{Job: spoiled, Exit: 3}}},
		{Name: "other package after Ready", Steps: []Step{{Job: NewJob("a.bin", small)}, {Job: second}}},
		{Name: "other package of the same name after Ready", Steps: []Step{{Job: NewJob("a.bin", small)}, {Job: NewJob("a.bin", small+1)}}},
		{Name: "other package after Failed", Steps: []Step{{Job: spoiled, Exit: 3}, {Job: NewJob("a.bin", small+1)}}},
		{Name: "given up for another", Steps: []Step{{Job: NewJob("a.bin", small), Kill: middle}, {Job: second, More: replace}}},
		{Name: "given up for another of the same name", Steps: []Step{{Job: NewJob("a.bin", small), Kill: middle}, {Job: NewJob("a.bin", small+1), More: replace}}},
		{Name: "changed at the origin", Steps: []Step{{Job: changed, Kill: middle}, {Job: changed}}},
		{Name: "connection lost, then failed, then started again", Steps: []Step{{Job: failing, Exit: 1}, {Job: failing}}},
	}
	for _, p := range killPoints {
		job := NewJob("a.bin", small)
		list = append(list, Scenario{Name: "killed before " + p.name, Steps: []Step{{Job: job, Kill: &p.Point}, {Job: job}}})
	}
	return list
}

// killPoints are the points at which the first of two processes is killed. The
// second process still sees the changes that the first did not sync, and a power
// cut can still lose them.
var killPoints = []struct {
	name string
	Point
}{
	{"the new journal is renamed", Point{Rename, "journal.db.new", 1}},
	{"the new journal's name is durable", Point{Sync, ".", 1}},
	{"the journal is opened", Point{Unlink, "journal.opening", 1}},
	{"the partial file's name is durable", Point{Sync, ".", 2}},
	{"a block is durable", Point{Datasync, "a.bin.otad-part", 3}},
	{"a checkpoint is written", Point{Datasync, "journal.db", 9}},
	{"a checkpoint is durable", Point{Datasync, "journal.db", 10}},
	{"Verifying is durable", Point{Datasync, "journal.db", 16}},
	{"the package is renamed", Point{Rename, "a.bin.otad-part", 1}},
	{"the package's name is durable", Point{Sync, ".", 4}},
	{"Ready is written", Point{Datasync, "journal.db", 17}},
	{"Ready is durable", Point{Datasync, "journal.db", 18}},
}

// secondCuts is the number of crash states from which another run is recorded.
const secondCuts = 12

// recoveries are runs of otad after a cut: the same job, started again.
func recoveries(crashes []*Crash) []Scenario {
	var list []Scenario
	for i, c := range crashes {
		step := Step{Job: c.Invariants.Job, More: []string{"-replace"}}
		if step.Job.Spoiled {
			step.Exit = 3
		}
		list = append(list, Scenario{Name: fmt.Sprintf("recovery %d", i), From: c, Steps: []Step{step}})
	}
	return list
}
