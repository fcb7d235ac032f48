package crashstates

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Disk is the model, that of ALICE (Pillai et al., OSDI 2014) and CrashMonkey
// (Mohan et al., OSDI 2018). It holds the state that processes see, the state that
// a power cut cannot change, and the changes in between, each of which may or may
// not be on the medium.
//
//   - The bytes and the length of a file are durable after its fsync or
//     fdatasync, its mode after its fsync.
//   - A name is durable after the fsync of the directory, not of the file.
//   - Changes that are not yet durable are on the medium in any combination, of
//     the same file and of several: that is also every order. A write may be
//     there whole, torn at any sector, or as a length without bytes. A rename is
//     one change.
//
// A disk is a value; step makes the next one.
type Disk struct {
	files   []file         // by number; one that lost its last name stays
	visible map[string]int // what processes see: names of files
	durable map[string]int
	names   []Op // changes of names not yet durable
}

type file struct {
	now, durable Content
	changes      []Op // Write, Truncate and Chmod not yet durable
}

// step returns the disk after o.
func (d *Disk) step(o Op) *Disk {
	next := &Disk{slices.Clone(d.files), d.visible, d.durable, slices.Clip(d.names)}
	n, known := d.visible[o.Name]
	switch {
	case o.Kind == Print || o.Kind == Begin:
		return d
	case o.is(Sync, "."):
		next.durable, next.names = d.visible, nil
	case o.Kind == Create && !known:
		empty := Content{mode: o.Mode}
		next.files = append(next.files, file{now: empty, durable: empty})
		o.At = int64(len(d.files))
		next.rename(o)
	case !known:
		return d // a call that failed, such as the removal of a missing file
	case o.Kind == Rename || o.Kind == Unlink:
		o.At = int64(n)
		next.rename(o)
	default:
		next.files[n] = d.files[n].step(o)
	}
	return next
}

// rename records a change of names; o.At is the number of the file.
func (d *Disk) rename(o Op) {
	d.visible = maps.Clone(d.visible)
	if d.visible == nil {
		d.visible = make(map[string]int)
	}
	o.rename(d.visible)
	d.names = append(d.names, o)
}

// rename applies a change of names.
func (o Op) rename(names map[string]int) {
	switch o.Kind {
	case Create:
		names[o.Name] = int(o.At)
	case Rename:
		delete(names, o.Name)
		names[o.To] = int(o.At)
	case Unlink:
		delete(names, o.Name)
	}
}

func (f file) step(o Op) file {
	switch o.Kind {
	case Sync:
		f.durable, f.changes = f.now, nil
	case Datasync:
		mode := f.durable.mode
		f.durable = f.now
		f.durable.mode = mode
		f.changes = Log(f.changes).without(func(_ int, c Op) bool { return c.Kind != Chmod })
	case Write, Truncate, Chmod:
		f.now = o.change(f.now)
		f.changes = append(slices.Clip(f.changes), o)
	}
	return f
}

// change applies a change of a file.
func (o Op) change(c Content) Content {
	switch o.Kind {
	case Write:
		return c.write(o.At, o.Data)
	case Truncate:
		return c.resize(o.At)
	default:
		c.mode = o.Mode
		return c
	}
}

// pending is the number of changes that are not yet durable.
func (d *Disk) pending() int {
	n := len(d.names)
	for _, f := range d.files {
		n += len(f.changes)
	}
	return n
}

// now returns the state that processes see.
func (d *Disk) now() State { return d.named(d.visible, func(f file) Content { return f.now }) }

func (d *Disk) named(names map[string]int, content func(file) Content) State {
	s := make(State, len(names))
	for name, n := range names {
		s[name] = content(d.files[n])
	}
	return s
}

// crash returns the state of the medium after each pending change had its
// outcome: names first, then file by file.
func (d *Disk) crash(outcomes []Outcome) State {
	names := maps.Clone(d.durable)
	if names == nil {
		names = make(map[string]int)
	}
	for i, o := range d.names {
		if outcomes[i].How != Lost {
			o.rename(names)
		}
	}
	outcomes = outcomes[len(d.names):]
	contents := make([]Content, len(d.files))
	for n, f := range d.files {
		contents[n] = f.durable
		for i, o := range f.changes {
			contents[n] = outcomes[i].change(contents[n], o)
		}
		outcomes = outcomes[len(f.changes):]
	}
	s := make(State, len(names))
	for name, n := range names {
		s[name] = contents[n]
	}
	return s
}

// How is the effect of a power cut on a pending change.
type How byte

// The outcomes of a pending change. Those after Kept are of writes only; other
// changes are Kept then.
const (
	Lost    How = iota
	Kept        // whole
	Head        // the sectors before a random one
	Tail        // the sectors from a random one on
	Sectors     // random sectors
	Pages       // random pages
	Grown       // the length without the bytes: zeros
	hows
)

func (h How) String() string {
	return [...]string{"lost", "kept", "head", "tail", "sectors", "pages", "grown"}[h]
}

// Outcome is the effect on one change; Seed chooses the sectors.
type Outcome struct {
	How  How
	Seed uint64
}

func (f Outcome) String() string {
	if f.How <= Kept || f.How == Grown {
		return f.How.String()
	}
	return fmt.Sprintf("%s(%d)", f.How, f.Seed)
}

// change applies the part of o that survives.
func (f Outcome) change(c Content, o Op) Content {
	switch {
	case f.How == Lost:
		return c
	case f.How == Kept || o.Kind != Write:
		return o.change(c)
	case f.How == Grown:
		return c.resize(max(c.size, o.At+int64(len(o.Data))))
	}
	for _, piece := range f.tear(o) {
		c = c.write(piece.At, piece.Data)
	}
	return c
}

// tear returns the pieces of a write that are on the disk. They begin and end
// where a sector of the file, or a page, does.
func (f Outcome) tear(o Op) (pieces []Op) {
	unit := int64(sectorSize)
	if f.How == Pages {
		unit = pageSize
	}
	first, end := o.At/unit, o.At+int64(len(o.Data))
	units := (end+unit-1)/unit - first
	random := rand.New(rand.NewPCG(f.Seed, uint64(f.How)))
	cut := random.Int64N(units)
	for i := range units {
		var there bool
		switch f.How {
		case Head:
			there = i < cut
		case Tail:
			there = i >= cut
		default:
			there = random.Uint64()%2 == 0
		}
		if !there {
			continue
		}
		from, to := max(o.At, (first+i)*unit), min(end, (first+i+1)*unit)
		if last := len(pieces) - 1; last >= 0 && pieces[last].At+int64(len(pieces[last].Data)) == from {
			from = pieces[last].At
			pieces = pieces[:last]
		}
		pieces = append(pieces, Op{At: from, Data: o.Data[from-o.At : to-o.At]})
	}
	return pieces
}
