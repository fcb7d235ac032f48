package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// costs are the measurements of a run by name, one a round.
type costs map[string][]measurement

// Rows that are computed from others, round by round.
const (
	nameFurther = "otad fetch, without its start and end"
	nameBoth    = "wget -O f && md5sum f"
)

// derive adds the computed rows. The difference between a whole and a short
// package has none of the costs of otad's start and end.
func (c costs) derive(size int64) {
	share := float64(size) / float64(size-shortSize)
	for i, whole := range c[nameOtad] {
		short, wget, hash := c[nameShort][i], c[nameWget][i], c[nameHash][i]
		c[nameFurther] = append(c[nameFurther], measurement{nameFurther,
			time.Duration(share * float64(whole.Process-short.Process)), time.Duration(share * float64(whole.Board-short.Board))})
		c[nameBoth] = append(c[nameBoth], measurement{nameBoth, wget.Process + hash.Process, wget.Board + hash.Board})
	}
}

// print writes the tables of a board.
func (c costs) print(w io.Writer, arch, processor string, o options) {
	c.derive(o.size)
	fmt.Fprintf(w, "\n%s (%s, one core): instructions a byte, medians of %d rounds. A package of %d bytes over plain\n"+
		"HTTP onto ext4, checkpoints of %d bytes.\n", arch, processor, o.rounds, o.size, checkpoint)
	c.table(w, o.size, "", nameOtad, nameFurther, nameHash, nameWget, nameBoth)
	c.table(w, o.size, "part of otad, done alone", partReceive, partDigest, partCRC, partFile, partJournal)
	once := median(c[nameShort], inProcess) - median(c[nameFurther], inProcess)*shortSize/float64(o.size)
	fmt.Fprintf(w, "\nStart and end of otad: %.0f million instructions. Times are read to 1 µs: 1000 instructions, %.5f a byte.\n",
		once/1e6, 1000/float64(o.size))
}

func (c costs) table(w io.Writer, size int64, title string, names ...string) {
	fmt.Fprintf(w, "\n| %s | user + system | spread | / md5sum | / (wget + md5sum) | whole board, synced |\n|---|---|---|---|---|---|\n", title)
	for _, name := range names {
		all, bytes := c[name], float64(size)
		fmt.Fprintf(w, "| %s | %.2f | %.1f %% | %.2f | %.2f | %.2f |\n", name, median(all, inProcess)/bytes, 100*spread(all, inProcess),
			ratio(all, c[nameHash]), ratio(all, c[nameBoth]), median(all, onBoard)/bytes)
	}
}

func inProcess(m measurement) float64 { return float64(m.Process) }
func onBoard(m measurement) float64   { return float64(m.Board) }

func median(all []measurement, of func(measurement) float64) float64 {
	v := sorted(all, of)
	return v[len(v)/2]
}

// spread returns the range of the rounds in relation to their median.
func spread(all []measurement, of func(measurement) float64) float64 {
	v := sorted(all, of)
	return (v[len(v)-1] - v[0]) / v[len(v)/2]
}

func sorted(all []measurement, of func(measurement) float64) []float64 {
	var v []float64
	for _, m := range all {
		v = append(v, of(m))
	}
	slices.Sort(v)
	return v
}

// ratio returns the ratio of the medians.
func ratio(a, b []measurement) float64 { return median(a, inProcess) / median(b, inProcess) }
