package crashstates

import "slices"

// Mutation is the log of an otad with a bug. The checks have to catch every
// one.
type Mutation struct {
	Bug    string
	Apply  func(l Log, job *Job) Log
	Says   string // part of the error that must be found
	Killed bool   // visible in a run whose first process is killed in a commit
}

// Mutations returns one for each rule of the order write, sync, commit, report.
func Mutations() []Mutation {
	return []Mutation{
		{Bug: "commits before it syncs", Apply: commitBeforeSync, Says: "the journal claims"},
		{Bug: "commits N+1 before N", Apply: commitNextFirst, Says: "set aside"},
		{Bug: "reports before the commit", Apply: reportBeforeCommit, Says: "durable bytes were reported"},
		{Bug: "stores N+2 before commit N has ended", Apply: storeTooMuch, Says: "bytes were requested again"},
		{Bug: "never syncs the package", Apply: neverSync, Says: "the journal claims"},
		{Bug: "does not sync the directory after the rename", Apply: noSyncAfterRename, Says: "is not whole"},
		{Bug: "does not sync the directory before the first checkpoint", Apply: noSyncAfterCreate, Says: "the journal claims"},
		{Bug: "makes the journal in place", Apply: journalInPlace, Says: "set aside"},
		{Bug: "does not sync the journal's pages before its meta page", Apply: noFirstSync, Says: "set aside"},
		{Bug: "does not sync the journal's meta page before it tells", Apply: noSecondSync, Says: "the job was"},
		{Bug: "tells Ready before it renames", Apply: readyBeforeRename, Says: "is not whole"},
		{Bug: "builds on what a killed process did not sync", Apply: noSyncAtOpen, Says: "set aside", Killed: true},
	}
}

const journalDB = "journal.db"

// transaction returns the first and the last operation of the journal's n-th
// transaction that begins after the operation at from: two syncs, of the pages and
// of the meta page, end it. Operations on other files may be between them.
func (l Log) transaction(from, n int) (first, last int) {
	first, syncs := -1, 0
	for i, o := range l {
		switch {
		case o.Kind == Begin:
			first = -1
		case o.is(Write, journalDB) && first < 0:
			first, syncs = i, 0
		case o.is(Datasync, journalDB):
			if syncs++; syncs < 2 {
				break
			}
			if first > from {
				n--
			}
			if first > from && n == 0 {
				return first, i
			}
			first = -1
		}
	}
	panic("no such transaction")
}

// commit returns the operations of the commit of the n-th interval: the first
// transaction that begins after the interval was synced.
func (l Log) commit(job *Job, n int) (first, last int) {
	return l.transaction(l.find(0, Datasync, job.part(), n), 1)
}

// commitBeforeSync moves each sync of the package behind the commit of the
// checkpoint that claims its bytes.
func commitBeforeSync(l Log, job *Job) Log {
	for n := l.count(func(o Op) bool { return o.is(Datasync, job.part()) }); n > 0; n-- {
		_, committed := l.commit(job, n)
		l = l.move(l.find(0, Datasync, job.part(), n), committed)
	}
	return l
}

// commitNextFirst moves the second interval, and then its commit, before the
// commit of the first.
func commitNextFirst(l Log, job *Job) Log {
	first, last := l.commit(job, 1)
	_, to := l.transaction(last, 1)
	synced := l.find(0, Datasync, job.part(), 2)
	var next Log
	rest := l.without(func(i int, o Op) bool {
		moves := first < i && i <= synced && o.Name == job.part() || last < i && i <= to && o.Name == journalDB
		if moves {
			next = append(next, o)
		}
		return moves
	})
	return slices.Insert(rest, first, next...)
}

// reportBeforeCommit moves each report of durable bytes before the commit that
// makes the journal claim them.
func reportBeforeCommit(l Log, job *Job) Log {
	for n := l.count(Op.reportsProgress); n > 0; n-- {
		first, _ := l.commit(job, n)
		at := l.report(n)
		say := l[at]
		l = slices.Insert(l.without(func(i int, _ Op) bool { return i == at }), first, say)
	}
	return l
}

// storeTooMuch moves the write of the third interval before the end of the first
// one's commit.
func storeTooMuch(l Log, job *Job) Log {
	at := l.find(0, Write, job.part(), 3)
	write := l[at]
	_, committed := l.commit(job, 1)
	return slices.Insert(l.without(func(i int, _ Op) bool { return i == at }), committed, write)
}

// report returns the index of the n-th report of durable bytes.
func (l Log) report(n int) int {
	for i, o := range l {
		if o.reportsProgress() {
			if n--; n == 0 {
				return i
			}
		}
	}
	return -1
}

func (o Op) reportsProgress() bool {
	r, ok := parseReport(string(o.Data))
	return o.Kind == Print && ok && r.Msg == "progress"
}

func neverSync(l Log, job *Job) Log {
	return l.without(func(_ int, o Op) bool { return o.is(Datasync, job.part()) })
}

func noSyncAfterRename(l Log, job *Job) Log {
	at := l.find(l.find(0, Rename, job.part(), 1), Sync, ".", 1)
	return l.without(func(i int, _ Op) bool { return i == at })
}

// noSyncAfterCreate removes every sync of the directory between the creation of
// the partial file and its first checkpoint.
func noSyncAfterCreate(l Log, job *Job) Log {
	made, first := l.find(0, Create, job.part(), 1), l.find(0, Datasync, job.part(), 1)
	return l.without(func(i int, o Op) bool { return made < i && i < first && o.is(Sync, ".") })
}

// journalInPlace creates journal.db under its final name, instead of renaming
// journal.db.new when it is complete.
func journalInPlace(l Log, _ *Job) Log {
	renamed := l.find(0, Rename, journalDB+".new", 1)
	inPlace := l.without(func(i int, _ Op) bool { return i == renamed })
	for i := range inPlace {
		if inPlace[i].Name == journalDB+".new" {
			inPlace[i].Name = journalDB
		}
	}
	return inPlace
}

// withoutSync removes the first or the second of the two syncs of each commit
// of the journal.
func withoutSync(l Log, second int) Log {
	n := 0
	return l.without(func(_ int, o Op) bool {
		if !o.is(Datasync, journalDB) {
			return false
		}
		n++
		return n%2 == second
	})
}

func noFirstSync(l Log, _ *Job) Log  { return withoutSync(l, 1) }
func noSecondSync(l Log, _ *Job) Log { return withoutSync(l, 0) }

// readyBeforeRename puts the rename, with the syncs around it, behind the
// commit of Ready and the line that reports it.
func readyBeforeRename(l Log, job *Job) Log {
	from, to := l.find(0, Rename, job.part(), 1), len(l)-1
	for l[from].Kind != Write {
		l = l.move(from, to)
	}
	return l
}

// noSyncAtOpen removes the first sync of the second process.
func noSyncAtOpen(l Log, _ *Job) Log {
	second := l.find(1, Begin, "", 1)
	at := l.find(second, Sync, journalDB, 1)
	return l.without(func(i int, _ Op) bool { return i == at })
}

// lied returns the log up to an operation of which the disk ignored the last n
// syncs of the package, although it had acknowledged them.
func (l Log) lied(to int, job *Job, n int) Log {
	l = l[:to]
	syncs := 0
	for range l {
		if l.find(0, Datasync, job.part(), syncs+1) < 0 {
			break
		}
		syncs++
	}
	seen := 0
	return l.without(func(_ int, o Op) bool {
		if o.is(Datasync, job.part()) {
			seen++
			return seen > syncs-n
		}
		return false
	})
}
