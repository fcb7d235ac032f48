package origintest

import (
	"cmp"
	"slices"
)

// stretch is what one answer wrote of one object.
type stretch struct {
	span
	tag     string // entity tag of the object
	request int
}

// twice counts the positions that at least two stretches of the same object share.
func twice(all []stretch) int64 {
	byTag := map[string][]span{}
	for _, s := range all {
		byTag[s.tag] = append(byTag[s.tag], s.span)
	}
	var n int64
	for _, spans := range byTag {
		n += overlap(spans)
	}
	return n
}

// overlap sweeps over the ends of the spans and adds up where two or more are open.
func overlap(spans []span) int64 {
	type edge struct {
		pos  int64
		step int // +1 opens, -1 closes
	}
	var edges []edge
	for _, s := range spans {
		edges = append(edges, edge{s.start, +1}, edge{s.end, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.pos, b.pos) })
	var n, from int64
	depth := 0
	for _, e := range edges {
		if depth >= 2 {
			n += e.pos - from
		}
		depth, from = depth+e.step, e.pos
	}
	return n
}
