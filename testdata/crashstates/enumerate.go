package crashstates

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Crash is one state of a disk after a power cut in a run.
type Crash struct {
	Run        *Run
	At         int // operations of the run's log that were made before the cut
	Outcomes   []Outcome
	Invariants *Invariants

	disk  *Disk
	id    [sha256.Size]byte // of the state
	order uint64            // random: the first N in this order are a sample
}

// State returns the directory on the disk.
func (c *Crash) State() State { return c.disk.crash(c.Outcomes) }

// String describes how to reach the state: the moment of the cut, and the
// outcome of each change that was not durable.
func (c *Crash) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, cut after operation %d", c.Run.Name, c.At)
	if c.At > 0 {
		fmt.Fprintf(&b, " (%s)", c.Run.Log[c.At-1])
	}
	changes := c.disk.names
	for _, f := range c.disk.files {
		changes = append(slices.Clip(changes), f.changes...)
	}
	for i, o := range changes {
		fmt.Fprintf(&b, "; %s: %s", o, c.Outcomes[i])
	}
	if c.Run.From != nil {
		fmt.Fprintf(&b, "; after an earlier cut: %v", c.Run.From)
	}
	return b.String()
}

// Enumerator collects crash states, each once. The same state after further
// reports of otad counts as another one, because more must hold there.
type Enumerator struct {
	Crashes []*Crash

	seed uint64
	seen map[seen]bool
}

type seen struct {
	state      [sha256.Size]byte
	invariants *Invariants
}

// NewEnumerator returns an empty Enumerator. The seed decides every random
// choice.
func NewEnumerator(seed uint64) *Enumerator {
	return &Enumerator{seed: seed, seen: make(map[seen]bool)}
}

// Sample returns n of the crashes, or all there are, in a random order.
func (e *Enumerator) Sample(n int) []*Crash {
	list := slices.SortedFunc(slices.Values(e.Crashes), func(a, b *Crash) int { return cmp.Compare(a.order, b.order) })
	return list[:min(n, len(list))]
}

// Distinct returns the number of different directories among crashes.
func Distinct(crashes []*Crash) int {
	states := make(map[[sha256.Size]byte]bool)
	for _, c := range crashes {
		states[c.id] = true
	}
	return len(states)
}

// Add adds the crash states of every prefix of the runs' logs. The runs are
// enumerated in parallel and added in their order.
func (e *Enumerator) Add(runs ...*Run) {
	found := make([][]*Crash, len(runs))
	var workers sync.WaitGroup
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(runs)); i = next.Add(1) - 1 {
				one := NewEnumerator(e.seed)
				one.addRun(runs[i])
				found[i] = one.Crashes
			}
		})
	}
	workers.Wait()
	for _, crashes := range found {
		e.addNew(crashes...)
	}
}

func (e *Enumerator) addRun(run *Run) {
	disk, invariants := run.Start, run.Invariants
	for at, o := range run.Log {
		nextDisk, nextInvariants := disk.step(o), invariants.after(o)
		if nextDisk != disk || nextInvariants != invariants {
			disk, invariants = nextDisk, nextInvariants
			e.add(run, at+1, disk, invariants, false)
		}
	}
}

// addNew adds the crashes that are not there yet.
func (e *Enumerator) addNew(crashes ...*Crash) {
	for _, c := range crashes {
		if s := (seen{c.id, c.Invariants}); !e.seen[s] {
			e.seen[s] = true
			e.Crashes = append(e.Crashes, c)
		}
	}
}

// AddEnd adds the crash states at the end of the run's log only. With strict,
// none of the pending changes is on the disk.
func (e *Enumerator) AddEnd(run *Run, strict bool) {
	disk, invariants := run.Start, run.Invariants
	for _, o := range run.Log {
		disk, invariants = disk.step(o), invariants.after(o)
	}
	e.add(run, len(run.Log), disk, invariants, strict)
}

func (e *Enumerator) add(run *Run, at int, disk *Disk, invariants *Invariants, strict bool) {
	// The seed depends on the run and the prefix alone: a state then comes up
	// again with the same seed although the logs of two recordings differ in
	// length.
	name := fnv.New64a()
	name.Write([]byte(run.Name))
	random := rand.New(rand.NewPCG(e.seed, name.Sum64()+uint64(at)))
	list := combinations(disk, random)
	if strict {
		list = list[:1]
	}
	for _, outcomes := range list {
		c := &Crash{Run: run, At: at, Outcomes: outcomes, Invariants: invariants, disk: disk, order: random.Uint64()}
		c.id = c.State().id()
		e.addNew(c)
	}
}

const (
	randomOutcomes = 16 // random combinations for each prefix
	tears          = 3  // for each write and each way to tear it, alone and among others
)

// combinations returns outcomes for the pending changes of d: none and all of
// them, names without bytes and bytes without names, each one alone and each
// one left out, each write torn in every way, alone and among the others, and
// random ones.
func combinations(d *Disk, random *rand.Rand) [][]Outcome {
	n, names := d.pending(), len(d.names)
	all := func(h How) []Outcome { return slices.Repeat([]Outcome{{How: h}}, n) }
	list := [][]Outcome{all(Lost)}
	if n == 0 {
		return list
	}
	for _, others := range []How{Lost, Kept} {
		outcomes := all(others)
		copy(outcomes[names:], all(Kept-others))
		list = append(list, all(others), outcomes)
		for i := range n {
			outcomes := all(others)
			outcomes[i].How = Kept - others
			list = append(list, outcomes)
			for k := range tears * int(hows-Head) {
				if i >= names {
					outcomes := all(others)
					outcomes[i] = Outcome{Head + How(k)%(hows-Head), random.Uint64()}
					list = append(list, outcomes)
				}
			}
		}
	}
	for range randomOutcomes {
		outcomes := all(Lost)
		for i := range outcomes {
			among := hows
			if i < names {
				among = Head
			}
			outcomes[i] = Outcome{How(random.IntN(int(among))), random.Uint64()}
		}
		list = append(list, outcomes)
	}
	return list
}
