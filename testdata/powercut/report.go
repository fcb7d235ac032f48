package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// report counts the events of a campaign.
type report struct {
	cycles      int
	spent       time.Duration
	outcomes    map[string]int
	stages      map[string]int // where the cuts fell
	links       map[string]int
	states      map[string]int // that the boots found
	ready       int
	quarantined map[string]bool // MD5s of the journals that otad has set aside
	resumes     int
	askedTwice  tally // bytes that the origin sent again
	wroteTwice  tally // bytes that had been written and were sent again, where the board can see them

	seesPartials bool
}

// tally is a sum and its largest term.
type tally struct{ sum, max int64 }

func (t *tally) add(n int64) {
	t.sum += n
	t.max = max(t.max, n)
}

func newReport() *report {
	return &report{outcomes: make(map[string]int), stages: make(map[string]int), states: make(map[string]int),
		links:       make(map[string]int),
		quarantined: make(map[string]bool)}
}

func (r *report) cycle(d time.Duration) {
	r.cycles++
	r.spent += d
}

func (r *report) cut(f outcome, stage string, l link) {
	r.links[l.String()]++
	r.outcomes[f.String()]++
	r.stages[stage]++
}

func (r *report) found(state string) { r.states[state]++ }

// quarantine counts a journal that otad has set aside.
func (r *report) quarantine(files map[string]string) {
	if sum, ok := files["journal.db.corrupt"]; ok {
		r.quarantined[sum] = true
	}
}

func (r *report) resumed(askedTwice, wroteTwice int64) {
	r.resumes++
	r.askedTwice.add(askedTwice)
	r.wroteTwice.add(wroteTwice)
}

func (r *report) print(w io.Writer) {
	perCycle := r.spent / time.Duration(max(1, r.cycles))
	fmt.Fprintf(w, "  power cuts           %d, %.3f s a cycle\n", r.cycles, perCycle.Seconds())
	fmt.Fprintf(w, "    by write outcome   %s\n", counts(r.outcomes))
	fmt.Fprintf(w, "    by moment          %s\n", counts(r.stages))
	fmt.Fprintf(w, "    by link            %s\n", counts(r.links))
	fmt.Fprintf(w, "  found after a boot   %s\n", counts(r.states))
	fmt.Fprintf(w, "  packages Ready       %d\n", r.ready)
	fmt.Fprintf(w, "  downloads resumed    %d\n", r.resumes)
	fmt.Fprintf(w, "    bytes sent twice   %s\n", r.askedTwice.text(r.resumes))
	if r.seesPartials {
		fmt.Fprintf(w, "    of them written    %s\n", r.wroteTwice.text(r.resumes))
	}
	fmt.Fprintf(w, "  journals set aside   %d\n", len(r.quarantined))
}

func (t tally) text(n int) string {
	return fmt.Sprintf("%d KiB at most, %d KiB on average", t.max>>10, t.sum>>10/int64(max(1, n)))
}

// counts renders a map in a stable order.
func counts(m map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(parts, ", ")
}
