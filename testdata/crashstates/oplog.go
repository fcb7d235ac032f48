// Package crashstates enumerates the states that a power cut can leave of a run
// of otad, and finishes the download from each of them.
//
//	recorder.go   every file operation of the real, unmodified binary (seccomp)
//	decode.go     a system call as a change of the state directory
//	oplog.go      the log of the operations
//	invariants.go what otad had reported, and what must therefore hold
//	scenario.go   recording a run, and the proof that nothing is missing
//	disk.go       the model: the states of a disk after a log (content.go: its files)
//	enumerate.go  the states of a log, without repetition
//	machine.go    otad, started on one of them
//	verify.go     the checks of that start
//	handoff.go    the same for the hand-off to an installer
//	mutate.go     logs of an otad with a bug, which have to be caught
//
// It is a test, run by
//
//	go test ./testdata/crashstates [-v] [-short] [-seed N] [-states N] [-keep DIR]
package crashstates

import (
	"fmt"
	"slices"

	"otad/journal"
)

// Kind is the kind of an [Op].
type Kind string

// The kinds of operations. All but the last two are calls of the recorded
// program.
const (
	Create   Kind = "create" // an empty file, unless there is one of that name
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Chmod    Kind = "chmod"
	Rename   Kind = "rename"
	Unlink   Kind = "unlink"
	Datasync Kind = "datasync" // fdatasync: bytes and length of one file
	Sync     Kind = "sync"     // fsync: and its mode; of the name ".", the directory
	Print    Kind = "say"      // a line on stderr or stdout: a report of otad
	Begin    Kind = "begin"    // a process was started, to fetch Job
)

// Op is one event of a log. Names are those in the state directory.
type Op struct {
	Kind Kind
	Name string
	To   string // Rename
	At   int64  // Write: offset; Truncate: length
	Mode uint32 // Create, Chmod
	Data []byte // Write, Print
	Job  *Job   // Begin
	// Serve is of Begin: the process starts a failed Job again by itself.
	Serve   bool
	Expects string // of Begin, see HandOff
}

func (o Op) String() string {
	switch o.Kind {
	case Write:
		return fmt.Sprintf("write %s %d+%d", o.Name, o.At, len(o.Data))
	case Truncate:
		return fmt.Sprintf("truncate %s to %d", o.Name, o.At)
	case Rename:
		return fmt.Sprintf("rename %s to %s", o.Name, o.To)
	case Print:
		return fmt.Sprintf("say %.100q", o.Data)
	case Begin:
		return "begin " + o.Job.Name
	default:
		return string(o.Kind) + " " + o.Name
	}
}

// is reports whether o is an operation of this kind on this name.
func (o Op) is(k Kind, name string) bool { return o.Kind == k && o.Name == name }

// Log is the operations of one or several runs on one state directory, in order.
type Log []Op

// find returns the index of the n-th operation of this kind on this name,
// counted from 1 and starting at from; -1 when there is none.
func (l Log) find(from int, k Kind, name string, n int) int {
	for i := from; i < len(l); i++ {
		if l[i].is(k, name) {
			if n--; n == 0 {
				return i
			}
		}
	}
	return -1
}

// count returns the number of operations for which counts returns true.
func (l Log) count(counts func(Op) bool) int {
	n := 0
	for _, o := range l {
		if counts(o) {
			n++
		}
	}
	return n
}

// without returns the log without the operations for which drop returns true.
// The log itself does not change.
func (l Log) without(drop func(i int, o Op) bool) Log {
	var kept Log
	for i, o := range l {
		if !drop(i, o) {
			kept = append(kept, o)
		}
	}
	return kept
}

// move returns the log with the operation at from moved behind the one at to.
func (l Log) move(from, to int) Log {
	moved := slices.Insert(slices.Clone(l), to+1, l[from])
	return slices.Delete(moved, from, from+1)
}

// inTime returns the log with each report of a start over in front of the commit
// that follows it. otad's log is written by a goroutine of its own, so a report
// can be late, and this one takes a promise back.
func (l Log) inTime() Log {
	out := slices.Clone(l)
	for at, o := range out {
		if r, ok := parseReport(string(o.Data)); o.Kind != Print || !ok || r.Msg != "starting over" {
			continue
		}
		begin := out.givenUp(at)
		for begin > 0 && out[begin-1].beforeGivingUp() {
			begin--
		}
		if begin >= 0 && begin < at {
			copy(out[begin+1:at+1], out[begin:at])
			out[begin] = o
		}
	}
	return out
}

// givenUp returns the index of the nearest operation that gives up all bytes of a
// package; -1 when there is none.
func (l Log) givenUp(at int) int {
	nearest := -1
	for i, o := range l {
		if o.Kind == Truncate && o.At == 0 && (nearest < 0 || max(i-at, at-i) < max(nearest-at, at-nearest)) {
			nearest = i
		}
	}
	return nearest
}

// beforeGivingUp reports whether o belongs to the commit that gives bytes up, or
// is a report that promises nothing.
func (o Op) beforeGivingUp() bool {
	r, _ := parseReport(string(o.Data))
	return o.Name == journal.FileName || o.Kind == Print && r.Msg != "progress" && r.To == ""
}
