package crashstates

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

// commitBeforeSync moves each sync of the package behind the commit of the
// checkpoint that claims its bytes: two syncs of the journal, pages and meta.
func commitBeforeSync(l Log, job *Job) Log {
	for n := 1; ; n++ {
		from := l.find(0, Datasync, job.part(), n)
		if from < 0 {
			return l
		}
		l = l.move(from, l.find(from, Datasync, journalDB, 2))
	}
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
